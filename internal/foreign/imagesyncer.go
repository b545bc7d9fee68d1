package foreign

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"imagemirror/internal/reference"
	"imagemirror/internal/strictyaml"
)

// imageSyncer reads a file of image-syncer
// (https://github.com/AliyunContainerService/image-syncer#configuration): one of images, one of
// credentials, or both in the older form, in JSON or YAML.
func (r *reader) imageSyncer(v strictyaml.Value) {
	v.Each(func(key string, v strictyaml.Value) {
		switch {
		case key == "images" && v.IsMapping():
			v.Each(r.rule)
		case key == "auth" && v.IsMapping():
			v.Each(access)
		case v.IsMapping():
			access(key, v)
		default:
			r.rule(key, v)
		}
	})
}

// access reads what image-syncer needs for a registry.
func access(registry string, v strictyaml.Value) {
	key := "auth." + shown(registry)
	readers{
		"username":      elsewhere(key+".username", belongsCredentials),
		"password":      elsewhere(key+".password", belongsCredentials),
		"identityToken": elsewhere(key+".identityToken", belongsCredentials),
		"insecure": func(v strictyaml.Value) {
			if v.Bool() {
				unsaid(v, key+".insecure", belongsRegistries)
			}
		},
	}.read(v, key)
}

// rule reads a source and its destinations.
func (r *reader) rule(source string, v strictyaml.Value) {
	destinations := []strictyaml.Value{v}
	if v.IsList() {
		destinations = nil
		v.List(func(v strictyaml.Value) { destinations = append(destinations, v) })
	}
	sources, selection, err := ruleSources(source)
	if err == nil && (v.Empty() || slices.ContainsFunc(destinations, strictyaml.Value.IsBlank)) {
		err = errors.New("it has no destination, and image sets have no default for one: write it out")
	}
	if err != nil {
		unsaid(v, "images", "%s is left out: %w", quoteSource(source), err)
		return
	}
	for _, v := range destinations {
		r.destination(v, source, sources, selection)
	}
}

// quoteSource quotes a source, unless that may show a credential.
func quoteSource(source string) string {
	if host, _, _ := strings.Cut(source, "/"); strings.Contains(host, "@") || strings.Contains(source, "://") {
		return "a source"
	}
	return quotedName(source)
}

// destination adds the entries of a rule with one of its destinations.
func (r *reader) destination(v strictyaml.Value, source string, sources []reference.Reference, selection *TagFilter) {
	word, ok := v.Word()
	if !ok {
		return
	}
	targets, err := ruleDestinations(word, sources)
	if err != nil {
		unsaid(v, "images", "a destination of %s is left out: %w", quoteSource(source), err)
		return
	}
	for i, src := range sources {
		r.add(v, Entry{Source: src, Destinations: []reference.Reference{targets[i]}, Select: selection})
	}
}

// ruleSources returns the images that a source of image-syncer names, in one of its forms:
// REPOSITORY, REPOSITORY:TAG, REPOSITORY:TAG,TAG, REPOSITORY@DIGEST and REPOSITORY:/EXPRESSION/.
func ruleSources(source string) ([]reference.Reference, *TagFilter, error) {
	name, tags := cutTags(source)
	if expression, ok := inSlashes(tags); ok {
		r, err := parseRepository(name)
		if err != nil {
			return nil, nil, err
		}
		selection, err := byExpression(expression)
		return []reference.Reference{r.WithTag(everyTag)}, selection, err
	}
	images, err := taggedImages(name, tags)
	if err == nil && images[0].Identifier() == "" {
		images[0] = images[0].WithTag(everyTag)
	}
	return images, nil, err
}

// cutTags cuts a name behind its repository. A tag in slashes has slashes, too.
func cutTags(name string) (repository, tags string) {
	if before, expression, found := strings.Cut(name, ":/"); found && strings.HasSuffix(name, "/") {
		return before, "/" + expression
	}
	last := strings.LastIndexByte(name, '/')
	if before, tags, found := strings.Cut(name[last+1:], ":"); found && !strings.Contains(before, "@") {
		return name[:last+1] + before, tags
	}
	return name, ""
}

func inSlashes(tags string) (expression string, ok bool) {
	if len(tags) < 3 || tags[0] != '/' || tags[len(tags)-1] != '/' {
		return "", false
	}
	return tags[1 : len(tags)-1], true
}

// taggedImages returns the images that a repository has under tags, which commas separate. Without
// tags, it returns the one image that the name is of.
func taggedImages(name, tags string) ([]reference.Reference, error) {
	if tags == "" {
		r, err := parseName(name)
		return []reference.Reference{r}, err
	}
	if strings.Contains(tags, "@") { // a tag and a digest
		r, err := parseName(name + ":" + tags)
		return []reference.Reference{r}, err
	}
	repo, err := parseRepository(name)
	if err != nil {
		return nil, err
	}
	var images []reference.Reference
	for tag := range strings.SplitSeq(tags, ",") {
		r, err := withTag(repo, tag)
		if err != nil {
			return nil, err
		}
		images = append(images, r)
	}
	return images, nil
}

// ruleDestinations returns the destination of each source: the tags of a destination go with those
// of the sources, in their order.
func ruleDestinations(destination string, sources []reference.Reference) ([]reference.Reference, error) {
	if strings.Contains(destination, "$") {
		return nil, errors.New("it has an environment variable: replace it with its value")
	}
	targets, err := taggedImages(cutTags(destination))
	switch {
	case err != nil:
		return nil, err
	case targets[0].Digest != "":
		return nil, errors.New("it has a digest: write a tag, or only the repository")
	case targets[0].Tag == "":
		all := make([]reference.Reference, len(sources))
		for i, src := range sources {
			all[i] = targets[0]
			if src.Tag != "" && !src.Wildcard() {
				all[i].Tag = src.Tag
			}
		}
		return all, nil
	case sources[0].Wildcard():
		return nil, errors.New("it has a tag, but its source stands for several: write only the repository")
	case len(targets) != len(sources):
		return nil, fmt.Errorf("it has %d tags, and its source %d", len(targets), len(sources))
	}
	return targets, nil
}
