// Package public asks whether strangers can pull what was published. Many registries create
// repositories that are private: an image is there, the run that pushed it was good, and nobody
// else can pull it.
package public

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"imagemirror/internal/fault"
	"imagemirror/internal/link"
	"imagemirror/internal/reference"
	"imagemirror/internal/regerror"
	"imagemirror/internal/registry"
	"imagemirror/internal/stream"
)

const (
	// settleTime is how long a registry gets until all of its servers know what was just pushed.
	settleTime = time.Second
	// unknownAtMost is how many images in a row a registry may leave unknown before the others
	// there are not asked for: it limits strangers, or is down.
	unknownAtMost = 3
)

// A Checker asks for images without credentials. It is safe for concurrent use.
type Checker struct {
	strangers *registry.Client

	mu      sync.Mutex
	unknown map[string]int // by registry: images in a row for which no answer decided
	why     map[string]error
}

// New returns a Checker that asks with anonymous tokens of its own. It keeps to the limits that
// the client keeps to, together with it.
func New(client *registry.Client) *Checker {
	return &Checker{strangers: client.Stranger(), unknown: map[string]int{}, why: map[string]error{}}
}

// Check returns nil if a stranger gets the digest under an image's tag, or under the digest itself
// if the image has no tag. Its error is of the kind fault.Private if strangers are refused. Any
// other error means that this is not known: IsPrivate tells. pushed means that the image was pushed
// a moment ago.
func (c *Checker) Check(ctx context.Context, image reference.Reference, digest string, pushed bool) error {
	repo, err := c.strangers.Destination(ctx, image, false)
	if err != nil {
		return err
	}
	if err := c.givenUp(repo.Registry()); err != nil {
		return err
	}
	got, err := head(ctx, repo, image, digest)
	if pushed && regerror.StatusOf(err) == http.StatusNotFound && pause(ctx, settleTime) {
		got, err = head(ctx, repo, image, digest)
	}
	if refusesStrangers(err) {
		err = private(image, repo.Registry(), err)
	}
	c.note(repo.Registry(), err)
	if err == nil && got != digest {
		return fmt.Errorf("strangers get %s, not %s: a cache may be in between", got, digest)
	}
	return err
}

// IsPrivate reports whether an error of Check says that strangers are refused.
func IsPrivate(err error) bool {
	var known interface{ Fault() fault.Fault }
	return errors.As(err, &known) && known.Fault().Kind == fault.Private
}

func head(ctx context.Context, repo *registry.Repository, image reference.Reference, digest string) (string, error) {
	return repo.Head(ctx, cmp.Or(image.Tag, digest))
}

// refusesStrangers reports whether a registry, or its token service, refuses what everybody may
// do. A page of a firewall says nothing of the registry. A token service that issues nothing to
// strangers may answer with any status of 4xx.
func refusesStrangers(err error) bool {
	var e *regerror.Error
	if !errors.As(err, &e) || e.Page || e.Transient() {
		return false
	}
	switch e.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		return true
	}
	return e.Doing == regerror.GettingToken && regerror.IsRefusal(e)
}

// private returns the error of an image that strangers are refused.
func private(image reference.Reference, host string, err error) error {
	message, advice := "published, not public: make "+image.Name()+" public", "ask the registry's operators or the repository's owners to let everybody pull it"
	if page := link.Visibility(image); page != "" {
		message += ": " + page
		advice = "open the page as an owner of the repository and change its visibility"
	}
	return fault.New(fault.Fault{
		Kind: fault.Private, Side: reference.Destination, Host: host, Status: regerror.StatusOf(err),
		Advice: advice + "; if it is meant to be private, remove public from the set's settings",
	}, message)
}

// givenUp returns why nothing more is asked of a registry, or nil.
func (c *Checker) givenUp(registry string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unknown[registry] < unknownAtMost {
		return nil
	}
	return fmt.Errorf("not asked: %w", c.why[registry])
}

// note counts the images in a row for which a registry gave no answer that decides.
func (c *Checker) note(registry string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil || IsPrivate(err) {
		c.unknown[registry] = 0
		return
	}
	c.unknown[registry]++
	c.why[registry] = err
}

// pause waits for d, and reports whether it passed before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Answer returns an answer of Check as streams have it.
func Answer(err error) *stream.Public {
	switch {
	case err == nil:
		return &stream.Public{Answer: stream.Yes}
	case IsPrivate(err):
		return &stream.Public{Answer: stream.No}
	}
	return &stream.Public{Answer: stream.Unknown, Error: stream.ErrorOf(err)}
}
