package main

import (
	"fmt"
	"strings"

	"imagemirror/internal/digest"
	"imagemirror/internal/manifest"
)

// A hostileCase is a row of the hostile table.
type hostileCase struct {
	name string
	make func(*hostile)
}

// selection is the case in which settings select from very many tags, with expressions that take
// nearly as many instructions as that allows.
const selection = "a selection from 190,000 tags"

const selectionSpec = `select: [{source: "*", include: ['(?:v?[0-9.x]{0,4}){1,4}'], exclude: ['(?:[a-z0-9.]*x){0,4}y'], semver: ">=1", newest: 10000}]`

// space has what takes memory.
var space = []hostileCase{
	{"a layer of 2^63-1 bytes", func(h *hostile) {
		h.tag("evil/layer", h.add(fmt.Sprintf(`{"mediaType":%q,"layers":[{"digest":%q,"size":9223372036854775807}]}`, manifest.OCIManifest, digest.Of(nil))))
	}},
	{"7 manifests of 30,000 layers", func(h *hostile) { h.tag("evil/wide", wide(h, "wide", 7, 30_000)) }},
	{"10 images of 39,000 layers", func(h *hostile) {
		for i := range 10 {
			h.tag(fmt.Sprintf("evil/%d", i), wide(h, fmt.Sprint(i), 3, 13_000))
		}
	}},
	{"12 images of 28 MiB of manifests", func(h *hostile) {
		for i := range 12 {
			var parts []string
			for range 7 {
				parts = append(parts, h.index(4<<20-1000))
			}
			h.tag(fmt.Sprintf("evil/%d", i), h.index(0, parts...))
		}
	}},
	{"layers with a million URLs", func(h *hostile) {
		var parts []string
		for i := range 7 {
			parts = append(parts, h.add(fmt.Sprintf(`{"mediaType":%q,"layers":[{"mediaType":"a.foreign.b","digest":%q,"size":1,"urls":["%d"%s]}]}`,
				manifest.OCIManifest, digest.Of([]byte("x")), i, strings.Repeat(`,""`, 1_300_000))))
		}
		h.tag("evil/urls", h.index(0, parts...))
	}},
	{"a wildcard on 190,000 tags", func(h *hostile) { h.wildcard("evil/tags", 190_000) }},
	{selection, func(h *hostile) { h.wildcard("evil/tags", 190_000) }},
	{"wildcards that fill the plan", func(h *hostile) {
		for n := 21_000; n > 500; n = n * 9 / 20 {
			h.wildcard(fmt.Sprintf("evil/%s/%d", strings.Repeat("a", 100), n), n)
		}
	}},
}

// wide makes an index of manifests with many layers.
func wide(h *hostile, name string, manifests, layers int) string {
	var parts []string
	for i := range manifests {
		parts = append(parts, h.image(fmt.Sprintf("%s %d", name, i), layers))
	}
	return h.index(0, parts...)
}
