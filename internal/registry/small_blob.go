package registry

import (
	"context"
	"fmt"
	"io"
	"time"

	"imagemirror/internal/digest"
	"imagemirror/internal/fault"
	"imagemirror/internal/regerror"
	"imagemirror/internal/retry"
)

// SmallBlob reads a blob of size bytes into memory, and checks that its content has the digest. The
// caller bounds the size.
func (r *Repository) SmallBlob(ctx context.Context, named string, size int64) (content []byte, err error) {
	for _, ep := range r.endpoints {
		if content, err = ep.smallBlob(ctx, named, size); err == nil {
			return content, nil
		}
	}
	return nil, r.fail(err, "reading blob", named)
}

func (ep repoEndpoint) smallBlob(ctx context.Context, named string, size int64) (content []byte, err error) {
	err = ep.host.policy().Do(ctx, func(n int) (wait time.Duration, err error) {
		d := &Download{by: ep.host, digest: named, size: size}
		defer d.Close()
		body, err := ep.whole(ctx, d, 0)
		if err != nil {
			return retry.Never, err
		}
		defer body.Close()
		content, err = io.ReadAll(io.LimitReader(body, size+1))
		switch {
		case err != nil:
			err = &regerror.Error{Err: regerror.Plain(ctx, err)}
		case digest.Of(content) != named:
			err = &regerror.Error{Err: fault.Image.Mark(fmt.Errorf("the content has the digest %s", digest.Of(content)))}
		}
		if n >= SlowTries {
			wait = retry.Never
		}
		return wait, err
	})
	return content, err
}
