package apiserver

import (
	"context"
	"errors"
	"log/slog"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"imagemirror/internal/retry"
)

// patience lasts at least half a minute, in which an API server can restart.
var patience = retry.Policy{Tries: 8, First: 500 * time.Millisecond, Max: 32 * time.Second}

// Insist calls ask, and calls it again if the API server does not respond or is temporarily unable
// to. An attempt without a response may have had its effect.
func Insist(ctx context.Context, ask func() error) error {
	return patience.Do(ctx, func(n int) (time.Duration, error) {
		err := ask()
		var status apierrors.APIStatus
		if errors.As(err, &status) && !retry.Transient(int(status.Status().Code)) {
			return retry.Never, err
		}
		if err != nil && n < patience.Tries && ctx.Err() == nil {
			slog.Warn("retrying a request to the API server", "error", err)
		}
		return 0, err
	})
}
