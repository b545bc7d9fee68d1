// Package mirror is the copy engine: it brings images to their destinations with as few requests
// and bytes as the protocol allows. All images of a run form one graph of blobs and manifests, so
// that no image waits for another:
//
//   - A blob wanted on a registry is uploaded there once, and mounted into every other repository
//     that wants it. A blob wanted on several registries is read once and sent to all of them.
//   - A manifest is pushed once everything it leads to is in its repository. The tag comes with the
//     last push, so a tag never points at an incomplete image.
//   - Large blobs start first.
//
// A failed image stops no other. Every job ends in exactly one outcome.
//
// # Blobs
//
// A blob is queued once for all registries that want it. On each of them one repository leads: the
// blob is uploaded there, and the others mount it from there.
//
//	 queued ------> dropped       no job needs it any more
//	   |
//	   | a worker takes it
//	   v
//	opening --------------+       POST, which asks for a mount as well
//	   |                  |
//	   | 202: send it     | 201: the registry had it
//	   v                  v
//	sending ----------> arrived --> the other repositories: opening, each on its own, as a
//	   |       PUT                  mount from the one that has it now
//	   |
//	   | attempts used up
//	   v
//	 failed ------> the next repository leads and is queued; if the source is at fault, all
//	                repositories fail
//
// # Manifests
//
//	waiting -------------------+  for blobs, and for the manifests below an index
//	   |                       |
//	   | the last one arrived  | one of them failed
//	   v                       |
//	 ready ------> dropped     |  no job needs it any more
//	   |                       |
//	   +-------------------+   |  PUT, by tag or by digest
//	   | accepted          |   |
//	   |           refused |   |
//	   v                   v   v
//	 there                 failed
//	   |                     |
//	   v                     v
//	its jobs are done,     its jobs fail, and so does every index above it
//	indexes above go on
//
// # Locking
//
// engine.mu guards the graph, the queues and the jobs. A function whose name ends in Locked needs
// it, and so do the methods of builder; all others are called without it. What the builder sets and
// nobody changes later (digests, sizes, repositories) is read without the lock. No request is made
// while it is held.
package mirror
