#include "base/control_group.h"

#include "base/memory.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where a controller's files of this process lie. */
struct place {
    bool unified;     /* version 2 */
    const char *root; /* of the tests */
    char mount[32];   /* below /sys/fs/cgroup: "", "/memory", "/cpu" */
    char path[1024];  /* of the group: "", "/a", "/a/b" */
};

static bool lists(const char *controllers, size_t length, const char *wanted)
{
    size_t n = strlen(wanted);
    for (const char *at = controllers, *end = controllers + length; at < end;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        size_t each = (size_t)((comma ? comma : end) - at);
        if (each == n && memcmp(at, wanted, n) == 0)
            return true;
        at += each + 1;
    }
    return false;
}

/* A line of /proc/self/cgroup, "ID:CONTROLLERS:PATH": with no controllers it is the unified hierarchy. True
 * when it is what says where the wanted controller's files are. */
static bool read_line(char *line, const char *wanted, struct place *p)
{
    char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!path)
        return false;
    size_t length = (size_t)(path - controllers - 1);
    line[strcspn(line, "\n")] = '\0';
    p->unified = length == 0;
    if (!p->unified && !lists(controllers + 1, length, wanted))
        return false;
    snprintf(p->mount, sizeof p->mount, "%s%s", p->unified ? "" : "/", p->unified ? "" : wanted);
    snprintf(p->path, sizeof p->path, "%s", strcmp(path + 1, "/") ? path + 1 : "");
    return true;
}

/* Version 1's line is taken before version 2's: where both are mounted, it holds the controllers. */
static bool find_place(const char *root, const char *wanted, struct place *out)
{
    char name[1200], line[1200];
    bool found = false;
    snprintf(name, sizeof name, "%s/proc/self/cgroup", root);
    FILE *f = fopen(name, "r");
    while (f && fgets(line, sizeof line, f)) {
        struct place p = {.root = root};
        if (read_line(line, wanted, &p) && (!found || !p.unified)) {
            *out = p;
            found = true;
        }
    }
    if (f)
        fclose(f);
    return found;
}

/* The group above; false at the top. A group that is not to be seen from here (a container's own name for it)
 * is passed. */
static bool go_up(struct place *p)
{
    char *slash = strrchr(p->path, '/');
    if (!slash)
        return false;
    *slash = '\0';
    return true;
}

static FILE *open_file(const struct place *p, const char *name)
{
    char *path = xasprintf("%s/sys/fs/cgroup%s%s/%s", p->root, p->mount, p->path, name);
    FILE *f = fopen(path, "r");
    free(path);
    return f;
}

/* The numbers at the start of a file, n at most; "max" and what is missing leave theirs as they are. Returns
 * how many. */
static int read_numbers(const struct place *p, const char *name, double *number, int n)
{
    int count = 0;
    FILE *f = open_file(p, name);
    while (f && count < n && fscanf(f, "%lf", &number[count]) == 1)
        count++;
    if (f)
        fclose(f);
    return count;
}

/* A line "KEY NUMBER" of memory.stat; 0 without. */
static double read_stat(const struct place *p, const char *key)
{
    char name[64];
    double value, found = 0;
    FILE *f = open_file(p, "memory.stat");
    while (f && fscanf(f, "%63s %lf", name, &value) == 2) {
        if (strcmp(name, key) == 0)
            found = value;
    }
    if (f)
        fclose(f);
    return found;
}

static double processors_here(const struct place *p)
{
    double number[2] = {0, 0}, period = 0;
    if (p->unified)
        return read_numbers(p, "cpu.max", number, 2) == 2 && number[1] > 0 ? number[0] / number[1] : 0;
    if (read_numbers(p, "cpu.cfs_quota_us", number, 1) && read_numbers(p, "cpu.cfs_period_us", &period, 1) &&
        number[0] > 0 && period > 0)
        return number[0] / period;
    return 0;
}

double control_group_processors(const char *root)
{
    struct place p;
    double least = 0;
    if (!find_place(root, "cpu", &p))
        return 0;
    do {
        double here = processors_here(&p);
        if (here > 0 && (least == 0 || here < least))
            least = here;
    } while (go_up(&p));
    return least;
}

/* -1: no limit. Version 1 says "none" by a number near 2^63. */
static double memory_here(const struct place *p)
{
    double limit = 0, used = 0;
    if (!read_numbers(p, p->unified ? "memory.max" : "memory.limit_in_bytes", &limit, 1) || limit >= 0x1p60)
        return -1;
    read_numbers(p, p->unified ? "memory.current" : "memory.usage_in_bytes", &used, 1);
    used -= read_stat(p, p->unified ? "file" : "total_cache");
    used = used > 0 ? used : 0;
    return limit > used ? limit - used : 0;
}

size_t control_group_memory(const char *root)
{
    struct place p;
    double least = -1;
    if (!find_place(root, "memory", &p))
        return SIZE_MAX;
    do {
        double here = memory_here(&p);
        if (here >= 0 && (least < 0 || here < least))
            least = here;
    } while (go_up(&p));
    return least < 0 ? SIZE_MAX : (size_t)least;
}
