/* SPDX-License-Identifier: Apache-2.0 */

/*
 * modality.h - sound and images among the tokens of a metering record
 *
 * They are parts of what the record says of all tokens: of the input that came
 * from no cache, of what was read from one, and of the output.  Images that
 * are read are also those of film.
 *
 * Threads: none.
 */
#ifndef COMMON_MODALITY_H
#define COMMON_MODALITY_H

#include <bursar/schema.h>

enum modality { MODALITY_AUDIO, MODALITY_IMAGE, MODALITIES };

/* Places in a record; -1: the schema has no such field. */
struct modality_fields {
	int input;
	int cache_read;
	int output;
	int hidden;
	struct {
		int input;
		int cache_read;
		int output;
	} of[MODALITIES];
};

void modality_find(struct modality_fields *fields,
                   const struct bursar_kind *kind);

/*
 * For producers that count what was read from a cache as input: call it once
 * that is taken out of the input, to take it out of the parts as well.
 *
 * Where it was not said how much of what was read was sound or images, text is
 * held to be what came from the cache: only what the rest of the input cannot
 * hold came from it, too, images before sound.
 */
void modality_take_caches_out(const struct modality_fields *fields,
                              struct bursar_record *record);

/* Flags parts that are more than their whole (BURSAR_DQ_TOTAL); nothing is cut
 * to fit. */
void modality_check(const struct modality_fields *fields,
                    struct bursar_record *record);

#endif
