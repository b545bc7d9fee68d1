package regerror

import (
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"imagemirror/internal/reference"
	"imagemirror/internal/retry"
)

// A meaning is what an answer says, by its code and words rather than by its status:
// registries use the same status for different things, and different ones for the same.
type meaning int

const (
	byStatus       meaning = iota // the status says all that is known
	throttled                     // too many requests
	contentUnknown                // a manifest refers to something that the registry does not have
	overQuota                     // no room, or not in this plan
	readOnly                      // no pushes at all
	immutableTag                  // the tag may not move
	noRepository                  // it has to be created first
	wrongKind                     // images of this kind are not accepted
	againstPolicy                 // this image is not accepted
	webPage                       // a front server or a login page answered, not the registry
	noAccess                      // the credentials do not allow it, or there are none
)

// Words of registries for what they have no code for. Harbor answers 403 and 412 for a
// quota and for immutable tags, ECR 400 for immutable tags, quay 403 for a quota.
var (
	throttledWords = regexp.MustCompile(`toomanyrequests|too many (requests|pulls)|rate[- ]limit|rate exceeded|throttl|\bslow ?down\b`)
	quotaWords     = regexp.MustCompile(`quota|exceed the configured upper limit|storage limit|insufficient storage|no space left|disk (is )?full|(your|this|current) plan\b|billing`)
	readOnlyWords  = regexp.MustCompile(`read[- ]?only|maintenance mode|\bproxy (project|cache)|pull[- ]through`)
	immutableWords = regexp.MustCompile(`immutab|can ?not be overwritten|overwrit(e|ing)\b.*\bnot (allowed|permitted)|\btag\b.*already exists|already exists.*\btag\b`)
	missingWords   = regexp.MustCompile(`\b(repository|project|namespace|organization)\b.*(does not exist|doesn't exist|not found|not known|\bunknown)`)
	kindWords      = regexp.MustCompile(`media ?type|schema|unsupported|not supported|imagemanifest|invalid url on layer`)
	policyWords    = regexp.MustCompile(`\bpolicy|unsigned|not signed|signature|vulnerab|quarantine`)
	accessWords    = regexp.MustCompile(`not authori[sz]ed|unauthori[sz]ed|authenticat|credential|insufficient.scope`)
)

// meaning returns what the answer says.
func (e *Error) meaning() meaning {
	said := strings.ToLower(e.Words)
	denied := e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden
	switch {
	case e.Status == 0:
		return byStatus
	case e.Status < http.StatusBadRequest:
		return pageOr(e.Page, byStatus)
	case e.throttled(said):
		return throttled
	case e.Code == "READ_ONLY" || readOnlyWords.MatchString(said):
		return readOnly
	case e.Status == http.StatusPaymentRequired || e.Status == http.StatusInsufficientStorage || quotaWords.MatchString(said):
		return overQuota
	case immutableWords.MatchString(said):
		return immutableTag
	case denied && accessWords.MatchString(said):
		return noAccess
	case policyWords.MatchString(said) || e.Code == "MANIFEST_UNVERIFIED":
		return againstPolicy
	case denied:
		return pageOr(e.Page && e.Status == http.StatusForbidden, noAccess)
	}
	return e.meaningOfContent(said)
}

// meaningOfContent returns the meaning of an answer about what was asked for or sent.
func (e *Error) meaningOfContent(said string) meaning {
	switch {
	case e.Code == "NAME_UNKNOWN" || missingWords.MatchString(said):
		return noRepository
	case e.Doing == PushingManifest && isContentCode(e.Code) && !e.mixed:
		return contentUnknown
	case e.Doing == OpeningUpload && e.Status == http.StatusMethodNotAllowed:
		return readOnly // distribution's read-only mode has no words of its own
	case e.Side == reference.Source:
		return byStatus
	case slices.Contains([]string{"UNSUPPORTED", "MANIFEST_INVALID"}, e.Code) || kindWords.MatchString(said):
		return wrongKind
	}
	return byStatus
}

func pageOr(page bool, otherwise meaning) meaning {
	if page {
		return webPage
	}
	return otherwise
}

// throttled reports whether the answer asks for fewer requests. Docker Hub's text and
// its JSON have the code, S3 and AWS have codes of their own.
func (e *Error) throttled(said string) bool {
	code := strings.ToLower(strings.ReplaceAll(e.Code, "_", ""))
	return e.Status == http.StatusTooManyRequests || throttledWords.MatchString(said) ||
		slices.Contains([]string{"toomanyrequests", "slowdown", "throttling", "throttlingexception", "requestlimitexceeded", "ratelimitexceeded"}, code)
}

// isContentCode reports whether a code says that a manifest refers to content which the
// registry does not have. A child of an index is MANIFEST_UNKNOWN to some.
func isContentCode(code string) bool {
	return slices.Contains([]string{"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN"}, code)
}

// finalCodes are those that another try of the same request does not change, even if
// they come with a status of 5xx: those of the distribution spec but TOOMANYREQUESTS,
// and those that distribution and Harbor add.
var finalCodes = []string{
	"BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN",
	"MANIFEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID", "UNAUTHORIZED", "DENIED",
	"UNSUPPORTED", "MANIFEST_UNVERIFIED", "TAG_INVALID", "RANGE_INVALID", "PAGINATION_NUMBER_INVALID", "READ_ONLY",
	"FORBIDDEN", "NOT_FOUND", "BAD_REQUEST", "CONFLICT", "PRECONDITION", "PROJECTPOLICYVIOLATION",
}

// Transient reports whether another try may succeed.
func (e *Error) Transient() bool {
	switch {
	case e.Status == 0:
		return !IsPermanent(e.Err)
	case e.Throttled():
		return true
	case !retry.Transient(e.Status):
		return false
	case e.After > 0: // the registry says so itself
		return true
	}
	m := e.meaning()
	return !slices.Contains(finalCodes, e.Code) && m != overQuota && m != immutableTag && m != wrongKind
}

// Throttled reports whether the registry asks for fewer requests, whatever the status.
func (e *Error) Throttled() bool { return e.meaning() == throttled }

// IsDenial reports whether err refuses access: to these credentials, or for the lack of
// any.
func IsDenial(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.meaning() == noAccess
}

// IsThrottling reports whether err asks for fewer requests, whatever its status.
func IsThrottling(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Throttled()
}

// UnknownContent reports whether a registry refused a manifest because it does not know
// what the manifest refers to. digests are those that it names, if it names any. It may
// not know yet what was sent a moment ago.
func UnknownContent(err error) (digests []string, ok bool) {
	var e *Error
	if !errors.As(err, &e) || e.meaning() != contentUnknown {
		return nil, false
	}
	return e.Missing, true
}
