package command

import "text/template"

// environment is the help's table of variables; envconfig runs it over the fields of the struct.
var environment = template.Must(template.New("environment").Parse(
	`{{range .}}  {{.Key}}	{{.Tags.Get "desc"}}{{with .Tags.Get "default"}} ({{.}} unless set){{end}}
{{end}}`))
