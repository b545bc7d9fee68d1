package status

// A pager is a table in parts.
type pager struct {
	From, To, All    int    // rows shown, from 1, and rows there are
	Page, Pages      int    // from 1
	Previous, Follow string // addresses of the parts beside this one, or ""
}

// cut returns the rows of the part that the query asks for. A part beyond the last is the last.
func cut[T any](rows []T, q query, size int, address func(query) string) ([]T, pager) {
	pages := max(1, (len(rows)+size-1)/size)
	page := min(max(1, q.Page), pages)
	from, to := (page-1)*size, min(page*size, len(rows))
	p := pager{From: from + 1, To: to, All: len(rows), Page: page, Pages: pages}
	beside := func(page int) string {
		q.Page = page
		return address(q)
	}
	if page > 1 {
		p.Previous = beside(page - 1)
	}
	if page < pages {
		p.Follow = beside(page + 1)
	}
	return rows[from:to], p
}
