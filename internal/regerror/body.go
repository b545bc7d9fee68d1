package regerror

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"imagemirror/internal/text"
)

// Bounds on what an error answer may say.
const (
	maxBody   = 16 << 10 // bytes that are read
	maxWords  = 240      // characters that are kept
	maxDetail = 160      // characters of one error's detail that are kept
	maxErrors = 32       // errors of an answer that are looked at
	maxDepth  = 3        // objects in one another that a detail is searched in
)

// A complaint is one error of an answer.
type complaint struct{ code, message, detail string }

// complaints returns the errors that a body has: those of the distribution spec's JSON
// and of the forms that token services, clouds, front servers and CDNs use instead, or
// else the text. page reports whether it is an HTML page.
func complaints(body string) (all []complaint, page bool) {
	body = strings.TrimSpace(strings.TrimPrefix(body, "\uFEFF"))
	var content any
	switch {
	case strings.HasPrefix(body, "<"):
		c, page := markup(body)
		return []complaint{c}, page
	case json.Unmarshal([]byte(body), &content) == nil:
		return fromJSON(content), false
	}
	return []complaint{{message: body}}, false
}

// fromJSON returns the errors of a JSON answer.
func fromJSON(content any) []complaint {
	answer, ok := content.(map[string]any)
	if !ok {
		return listed(content)
	}
	for _, key := range []string{"errors", "error"} {
		if all := listed(field(answer, key)); len(all) > 0 {
			if all[0].message == "" || key == "error" && all[0].code == "" { // RFC 6749, section 5.2
				all[0].detail = firstOf(all[0].detail, sentence(field(answer, "error_description"), 1), sentence(field(answer, "message"), 1))
			}
			return all
		}
	}
	if c := fromObject(answer); c != (complaint{}) {
		return []complaint{c}
	}
	return nil
}

// listed returns the errors of a list, or of a value that stands alone.
func listed(value any) []complaint {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	var all []complaint
	for _, item := range list[:min(len(list), maxErrors)] {
		var c complaint
		switch item := item.(type) {
		case map[string]any:
			c = fromObject(item)
		case string:
			c.message = item
		}
		if c != (complaint{}) {
			all = append(all, c)
		}
	}
	return all
}

// fromObject reads one error. Its code may be a number, and its message may have the
// name that problem+json (RFC 9457), token services or Kubernetes give it.
func fromObject(o map[string]any) complaint {
	c := complaint{
		message: firstOf(sentence(field(o, "message"), 1), sentence(field(o, "msg"), 1), sentence(field(o, "title"), 1), sentence(field(o, "details"), 1)),
		detail:  sentence(field(o, "detail"), maxDepth),
	}
	switch code := field(o, "code").(type) {
	case string:
		c.code = code
	case float64:
		c.code = strconv.FormatFloat(code, 'f', -1, 64)
	default:
		kind, _ := field(o, "__type").(string) // the APIs of AWS
		c.code = kind[strings.LastIndexByte(kind, '#')+1:]
	}
	if c.code == codeUnknown && c.detail == "" {
		c.detail = raw(field(o, "detail"))
	}
	if c == (complaint{}) {
		c.message = firstOf(sentence(field(o, "reason"), 1), sentence(field(o, "description"), 1))
	}
	return c
}

// sentence returns what a value says to a person: a text, the first ones of a list, or
// the part of an object that is known to be one. Other parts, such as the access that
// was asked for, repeat the request.
func sentence(value any, depth int) string {
	switch value := value.(type) {
	case string:
		return oneLine(value)
	case []any:
		var all []string
		for _, item := range value[:min(len(value), maxDepth)] {
			if s, ok := item.(string); ok {
				all = append(all, oneLine(s))
			}
		}
		return strings.Join(all, ", ")
	case map[string]any:
		if depth <= 1 {
			return ""
		}
		for _, key := range []string{"message", "reason", "error", "description", "digest"} {
			if s := sentence(field(value, key), depth-1); s != "" {
				return s
			}
		}
	}
	return ""
}

// raw returns the JSON of an object that says something. Distribution reports what its storage
// answered in that way: {"DriverName":"filesystem","Enclosed":{"Op":"mkdir","Err":28}}.
func raw(value any) string {
	o, ok := value.(map[string]any)
	if !ok || len(o) == 0 {
		return ""
	}
	b, err := json.Marshal(o)
	if err != nil {
		return ""
	}
	return string(b)
}

// field returns a field of an object. If none has exactly this name, it takes the first
// one in another case.
func field(o map[string]any, name string) any {
	if value, ok := o[name]; ok {
		return value
	}
	for _, key := range slices.Sorted(maps.Keys(o)) {
		if strings.EqualFold(key, name) {
			return o[key]
		}
	}
	return nil
}

// markup reads XML, as S3, Google and Azure answer, or a page of HTML. From a page it takes
// the title and the first heading.
func markup(s string) (c complaint, page bool) {
	c = complaint{code: element(s, "Code"), message: element(s, "Message")}
	if c != (complaint{}) {
		return c, false
	}
	title, heading := element(s, "title"), element(s, "h1")
	switch {
	case title == "" || strings.Contains(heading, title):
		c.message = heading
	case heading == "" || strings.Contains(title, heading):
		c.message = title
	default:
		c.message = title + ": " + heading
	}
	if c.message == "" {
		c.message = withoutTags(s)
	}
	lower := strings.ToLower(s)
	return c, strings.Contains(lower, "<html") || strings.Contains(lower, "<!doctype html") || title != "" || heading != ""
}

// element returns the text in the first element of a name, in any case.
func element(s, name string) string {
	lower := strings.ToLower(s)
	if len(lower) != len(s) { // a letter whose other case has another length
		lower = s
	}
	name = strings.ToLower(name)
	from := strings.Index(lower, "<"+name+">")
	if from < 0 {
		from = strings.Index(lower, "<"+name+" ")
	}
	if from < 0 {
		return ""
	}
	begin := strings.IndexByte(lower[from:], '>')
	end := strings.Index(lower[from:], "</"+name)
	if begin < 0 || end < begin {
		return ""
	}
	return oneLine(withoutTags(s[from+begin+1 : from+end]))
}

// withoutTags drops everything between < and >, so that markup can be read as a line.
func withoutTags(s string) string {
	if !strings.Contains(s, "<") {
		return s
	}
	var b strings.Builder
	depth := 0
	for _, r := range s {
		switch {
		case r == '<':
			depth++
			b.WriteByte(' ')
		case r == '>':
			depth = max(0, depth-1)
		case depth == 0:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func firstOf(all ...string) string {
	for _, s := range all {
		if s != "" {
			return s
		}
	}
	return ""
}

// oneLine joins the lines of a text.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// cleanLine returns outside text as one bounded line of printable characters.
func cleanLine(s string) string { return text.Line(oneLine(s), maxWords) }
