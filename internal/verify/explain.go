package verify

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"imagemirror/internal/text"
)

// maxReason bounds what a message quotes of a library's error, in characters.
const maxReason = 300

// isAbout reports whether the claim names the image with the digest, in hexadecimal.
func (c *claim) isAbout(hexDigest string) bool { return slices.Contains(c.of, hexDigest) }

// about describes the images that the claim is about.
func (c *claim) about() string {
	if len(c.of) == 0 {
		return "of which it has no sha256 digest"
	}
	return text.Line("sha256:"+c.of[0], 71)
}

// explain returns why a claim with the right digest and the right name is refused.
func (s *Signer) explain(c *claim, err error) *miss {
	if s.identity == nil && c.by != nil {
		return c.notByKey()
	}
	if s.identity != nil {
		if m := c.timing(s); m != nil {
			return m
		}
	}
	reason := text.Line(strings.ReplaceAll(err.Error(), "\n", "; "), maxReason)
	switch {
	case strings.HasPrefix(reason, "failed to verify signature") && s.identity == nil:
		return &miss{changed, "it is by another key, or was changed since"}
	case strings.HasPrefix(reason, "failed to verify signature"):
		return &miss{changed, "it was changed since: " + reason}
	case strings.HasPrefix(reason, "failed to verify leaf certificate"):
		return &miss{byAnother, "its certificate is not from the authorities of " + s.root}
	case strings.HasPrefix(reason, "failed to verify log inclusion"):
		return &miss{untimely, fmt.Sprintf("the transparency log of %s does not vouch for it: %s", s.root, reason)}
	case strings.HasPrefix(reason, "failed to verify timestamps"):
		return &miss{untimely, fmt.Sprintf("no log and no timestamp authority of %s tells when it was made: %s", s.root, reason)}
	}
	return &miss{changed, reason}
}

// timing returns why the certificate of a claim was not valid when that was signed, or nil.
func (c *claim) timing(s *Signer) *miss {
	for _, at := range c.times(s) {
		const format = "it was signed at %s, and its certificate is valid only %s %s"
		switch {
		case at.Before(c.leaf.NotBefore):
			return &miss{untimely, fmt.Sprintf(format, stamp(at), "from", stamp(c.leaf.NotBefore))}
		case at.After(c.leaf.NotAfter):
			return &miss{untimely, fmt.Sprintf(format, stamp(at), "until", stamp(c.leaf.NotAfter))}
		}
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// times returns when the claim was signed: what the signer's root vouches for, and what an entry
// of a log claims.
func (c *claim) times(s *Signer) []time.Time {
	var all []time.Time
	for _, v := range s.verifiers {
		verified, err := v.VerifyObserverTimestamps(c.entity, nil)
		for _, t := range verified {
			all = append(all, t.Timestamp)
		}
		if err == nil {
			break
		}
	}
	entries, err := c.entity.TlogEntries()
	if err != nil {
		return all
	}
	for _, e := range entries {
		if t := e.IntegratedTime(); !t.IsZero() {
			all = append(all, t)
		}
	}
	return all
}
