package status

import (
	"net/http"
	"strings"
)

func overviewAnswer(v view, r *http.Request) (*response, error) {
	q, err := parseQuery(r.URL.RawQuery, setStates, setColumns)
	if err != nil {
		return nil, err
	}
	return v.overview(q).html()
}

func causesAnswer(v view, r *http.Request) (*response, error) {
	q, err := parseQuery(r.URL.RawQuery, nil, nil)
	if err != nil {
		return nil, err
	}
	return v.causesPage(q).html()
}

func causeAnswer(v view, r *http.Request) (*response, error) {
	c := v.cause(r.PathValue("cause"))
	if c == nil {
		return nil, errNotFound
	}
	q, err := parseQuery(r.URL.RawQuery, nil, nil)
	if err != nil {
		return nil, err
	}
	return v.causePage(c, q).html()
}

// ofSet returns the response about the set that the path names.
func ofSet(v view, r *http.Request, from func(*set) (*response, error)) (*response, error) {
	s := v.set(r.PathValue("set"))
	if s == nil {
		return nil, errNotFound
	}
	return from(s)
}

func setAnswer(v view, r *http.Request) (*response, error) {
	return ofSet(v, r, func(s *set) (*response, error) {
		q, err := parseQuery(r.URL.RawQuery, destinationStates, destinationColumns)
		if err != nil {
			return nil, err
		}
		return v.setPage(s, q).html()
	})
}

func runsAnswer(v view, r *http.Request) (*response, error) {
	return ofSet(v, r, func(s *set) (*response, error) { return v.runsPage(s).html() })
}

func runAnswer(v view, r *http.Request) (*response, error) {
	return ofSet(v, r, func(s *set) (*response, error) {
		before, run, after := s.run(r.PathValue("run"))
		if run == nil {
			return nil, errNotFound
		}
		return v.runPage(s, before, run, after).html()
	})
}

func badgeAnswer(v view, r *http.Request) (*response, error) {
	id, found := strings.CutSuffix(r.PathValue("file"), ".svg")
	s := v.set(id)
	if !found || s == nil {
		return nil, errNotFound
	}
	body, err := s.badge()
	return inMemory(svgKind, body), err
}

func setListAnswer(v view, r *http.Request) (*response, error) {
	q, err := parseQuery(r.URL.RawQuery, setStates, nil)
	if err != nil {
		return nil, err
	}
	return jsonOf(v.list(q))
}

func setDetailAnswer(v view, r *http.Request) (*response, error) {
	return ofSet(v, r, func(s *set) (*response, error) { return jsonOf(v.detail(s)) })
}

func causeListAnswer(v view, _ *http.Request) (*response, error) { return jsonOf(v.causeList()) }

func causeDetailAnswer(v view, r *http.Request) (*response, error) {
	c := v.cause(r.PathValue("cause"))
	if c == nil {
		return nil, errNotFound
	}
	return jsonOf(c.detail())
}
