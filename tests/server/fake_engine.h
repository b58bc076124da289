/* A stand-in for the engine: see fake_engine.c. */
#ifndef VARGPT_TESTS_SERVER_FAKE_ENGINE_H
#define VARGPT_TESTS_SERVER_FAKE_ENGINE_H

#include "engine/engine.h"

struct fake_options {
    int running; /* more requests at once are refused with STATUS_BUSY; 0 = 4096 */
    int slots;   /* of them, computed at once, the others wait; 0 = all */
    bool stuck;  /* its heart has stopped */
    bool lost;   /* its device is lost */
};
struct engine *fake_engine_open(struct fake_options);

#endif
