package command

import (
	"fmt"
	"io"
	"log/slog"
)

// Log is what the environment says about a command's log lines.
type Log struct {
	LogFormat string `split_words:"true" default:"text" desc:"form of the log lines on standard error: text or json"`
}

const (
	formatVariable = Prefix + "_LOG_FORMAT"
	jsonFormat     = "json"
)

// Logger makes a logger that writes to w.
func (l Log) Logger(w io.Writer) (*slog.Logger, error) {
	switch l.LogFormat {
	case "text":
		return slog.New(slog.NewTextHandler(w, nil)), nil
	case jsonFormat:
		return slog.New(slog.NewJSONHandler(w, nil)), nil
	}
	return nil, fmt.Errorf("the environment variable %s=%q: give text or json", formatVariable, l.LogFormat)
}
