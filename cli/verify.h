/* The cases of a golden set, one function a kind; each prints a line a comparison into the tally. */
#ifndef VARGPT_CLI_VERIFY_H
#define VARGPT_CLI_VERIFY_H

#include "cli/golden.h"
#include "cli/traced_run.h"

/* verify_text.c */
void verify_tokenizer(struct golden *, const struct tokenizer *);
void verify_chat(struct golden *);
/* A request whose prompt is a case's conversation; image parts take pictures[] in turn (the last one again
 * where there are too few, a gray pixel where there are none). NULL with a failure told. */
struct request *verify_prompt(struct golden *, const char *name, const json_t *messages,
                              const struct picture *pictures, size_t n_pictures, bool add_generation_prompt);
/* The same for a golden case with "messages" and "images" (file names). */
struct request *verify_case_prompt(struct golden *, const char *name, const json_t *one);

/* verify_model.c */
void verify_preprocess(struct golden *);
void verify_vision(struct golden *);
void verify_llm(struct golden *);

/* verify_picture.c */
void verify_generate(struct golden *);
void verify_encode(struct golden *);
void verify_adaln(struct golden *);
void verify_rng(struct golden *);

/* Runs a traced request, keeping all rows; on failure it is told under `name` and false. Release the run
 * either way. */
bool verify_run(struct golden *, const char *name, struct request *, struct traced_run *);

#endif
