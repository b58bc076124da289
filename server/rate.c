#include "server/rate.h"

void rate_init(struct rate *r, int per_minute, int64_t now_ns)
{
    *r = (struct rate){.per_minute = per_minute, .level = per_minute, .at_ns = now_ns};
}

static void refill(struct rate *r, int64_t now_ns)
{
    if (now_ns > r->at_ns) {
        r->level += (double)(now_ns - r->at_ns) * 1e-9 * r->per_minute / 60;
        r->at_ns = now_ns;
    }
    if (r->level > r->per_minute)
        r->level = r->per_minute;
}

void rate_change(struct rate *r, int per_minute, int64_t now_ns)
{
    refill(r, now_ns);
    r->level += per_minute - r->per_minute;
    r->per_minute = per_minute;
}

double rate_wait(struct rate *r, double least, int64_t now_ns)
{
    if (r->per_minute == 0)
        return 0;
    refill(r, now_ns);
    return r->level >= least ? 0 : (least - r->level) * 60 / r->per_minute;
}

void rate_spend(struct rate *r, double amount, int64_t now_ns)
{
    if (r->per_minute == 0)
        return;
    refill(r, now_ns);
    r->level -= amount;
}

double rate_left(struct rate *r, int64_t now_ns)
{
    refill(r, now_ns);
    return r->level > 0 ? r->level : 0;
}

double rate_reset(struct rate *r, int64_t now_ns)
{
    return rate_wait(r, r->per_minute, now_ns);
}
