/* A stand-in for the engine: see fake_engine.c. */
#ifndef VARGPT_TESTS_SERVER_FAKE_ENGINE_H
#define VARGPT_TESTS_SERVER_FAKE_ENGINE_H

#include "engine/engine.h"

/* max_running: more requests at once are refused with STATUS_BUSY; 0 = 4096. */
struct engine *fake_engine_open(int max_running);

#endif
