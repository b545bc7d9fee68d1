package fault

import "strings"

// titles tell people of a kind. HOST stands for the host at fault.
var titles = map[Kind]string{
	Unavailable: "HOST does not answer, or answers with errors",
	TLS:         "no trusted TLS connection to HOST is possible",
	Proxy:       "the proxy at HOST is down, or does not let requests through",
	Blocked:     "HOST is blocked, by registries.conf or by a firewall",
	Throttled:   "HOST asks for fewer requests",
	Credentials: "HOST does not accept the credentials",
	Denied:      "HOST denies access to what the credentials are for",
	Quota:       "HOST has no room for what is pushed",
	ReadOnly:    "HOST accepts no pushes",
	Answer:      "HOST gives invalid answers",
	Deadline:    "HOST was too slow for the deadline",

	Missing:     "HOST does not have what mappings name",
	Image:       "images from HOST are invalid",
	TooLarge:    "images are too large for HOST",
	Unsupported: "HOST does not accept images of this kind",
	Policy:      "HOST has a policy against these images",
	Unverified:  "images at HOST are not signed as demanded",
	TooNew:      "images at HOST are newer than allowed",
	Immutable:   "tags at HOST may not move",
	Moved:       "tags at HOST are not where they are held",
	Rejected:    "HOST rejects requests",
	Conflict:    "two mappings have one tag, or a template makes none",
	Private:     "strangers cannot pull from HOST what was published",

	NoPlan:       "nothing was mirrored: there is no plan",
	Disagreement: "results disagree with the plan",
	Unfinished:   "the run did not finish",
	Deferred:     "images wait for pulls",
	Internal:     "failures of other kinds",
}

// Title returns what a failure of the kind at a host means, as a short sentence without a full
// stop. Without a host it speaks of a registry.
func (k Kind) Title(host string) string {
	if host == "" {
		host = "a registry"
	}
	title, known := titles[k]
	if !known {
		title = titles[Internal]
	}
	return strings.ReplaceAll(title, "HOST", host)
}
