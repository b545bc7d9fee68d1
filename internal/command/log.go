package command

import (
	"fmt"
	"io"
	"log/slog"
)

// logging is the environment of all commands.
type logging struct {
	LogFormat string `split_words:"true" default:"text" desc:"format of the log on standard error: text or json"`
}

const (
	formatVariable = Prefix + "_LOG_FORMAT"
	jsonFormat     = "json"
)

// logger returns a logger that writes to w.
func (l logging) logger(w io.Writer) (*slog.Logger, error) {
	switch l.LogFormat {
	case "text":
		return slog.New(slog.NewTextHandler(w, nil)), nil
	case jsonFormat:
		return slog.New(slog.NewJSONHandler(w, nil)), nil
	}
	return nil, fmt.Errorf("%s is %q: give text or json", formatVariable, l.LogFormat)
}
