package wire

import (
	"regexp"
	"testing"

	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// twoTokens is a number of repositories for which two tokens are asked for.
const twoTokens = 21

// A token to push with is asked for as soon as it is known of its own repositories that images are
// copied there: the destination of the last image may still be silent.
func TestPushTokensAreAskedForEarly(t *testing.T) {
	t.Parallel()
	p := newPrivatePair(t)
	w := newWorkload(t, p, twoTokens)
	asked := make(chan struct{})
	p.destination.Inject(
		registrytest.FaultRule{Kind: "HEAD manifest", Path: regexp.MustCompile("/image-20/"), Times: 1, Fault: await(asked, t)},
		registrytest.FaultRule{Kind: "token", Path: regexp.MustCompile("image-0%3Apull%2Cpush"), Times: 1, Fault: open(asked)},
	)
	runLines(t, w.lines...).allAre(t, stream.Copied)
	if n := p.destination.Stats().Requests["token"]; n != wantTokens {
		t.Errorf("%d tokens were asked for, want %d", n, wantTokens)
	}
}

// Uploads are opened in repositories whose token is there, while the token of others is under way.
func TestUploadsWaitForTheirOwnToken(t *testing.T) {
	t.Parallel()
	p := newPrivatePair(t)
	w := newWorkload(t, p, twoTokens)
	opened := make(chan struct{})
	p.destination.Inject(
		registrytest.FaultRule{Kind: "token", Path: regexp.MustCompile("image-20%3Apull%2Cpush"), Times: 1, Fault: await(opened, t)},
		registrytest.FaultRule{Kind: "POST mount", Times: 1, Fault: open(opened)},
	)
	runLines(t, w.lines...).allAre(t, stream.Copied)
	if n := p.destination.Stats().Requests["token"]; n != wantTokens {
		t.Errorf("%d tokens were asked for, want %d", n, wantTokens)
	}
}

// wantTokens is two to read, two to push, and one for the mounts into the last repository.
const wantTokens = 5
