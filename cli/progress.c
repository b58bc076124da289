#include "cli/progress.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void progress_init(struct progress *p, const char *label, double wait_seconds)
{
    *p = (struct progress){.label = label, .begin_ns = clock_ns(), .wait_seconds = wait_seconds};
    const char *kind = getenv("TERM");
    p->terminal = isatty(STDERR_FILENO) && kind && strcmp(kind, "dumb") != 0;
}

void progress_set(struct progress *p, double fraction)
{
    enum { CELLS = 30 };
    int64_t now = clock_ns();
    if (!p->terminal || (double)(now - p->begin_ns) < p->wait_seconds * 1e9)
        return;
    if (p->visible && now - p->drawn_ns < 100 * 1000 * 1000)
        return;
    fraction = fraction < 0 ? 0 : fraction > 1 ? 1 : fraction;
    int done = (int)(fraction * CELLS);
    fprintf(stderr, "\r%s [%.*s%.*s] %3d%%", p->label, done, "##############################", CELLS - done,
            "..............................", (int)(fraction * 100));
    fflush(stderr);
    p->visible = true;
    p->drawn_ns = now;
}

void progress_end(struct progress *p)
{
    if (p->visible)
        fputs("\r\033[K", stderr);
    p->visible = false;
}
