/* Limits of control groups, read from trees made for it. */
#include "base/control_group.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char root[64];

/* A file below root, with the directories above it. */
static void put(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *slash = strchr(path + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int make_root(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "/tmp/vargpt-cgroup-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

static void test_none(void **state)
{
    (void)state;
    assert_true(control_group_processors(root) == 0);
    assert_true(control_group_memory(root) == SIZE_MAX);
    put("proc/self/cgroup", "0::/\n");
    put("sys/fs/cgroup/cpu.max", "max 100000\n");
    put("sys/fs/cgroup/memory.max", "max\n");
    assert_true(control_group_processors(root) == 0);
    assert_true(control_group_memory(root) == SIZE_MAX);
}

static void test_unified(void **state)
{
    (void)state;
    put("proc/self/cgroup", "0::/a/b\n");
    put("sys/fs/cgroup/a/b/cpu.max", "400000 100000\n");
    put("sys/fs/cgroup/a/cpu.max", "150000 100000\n");
    put("sys/fs/cgroup/a/b/memory.max", "1000000\n");
    put("sys/fs/cgroup/a/b/memory.current", "700000\n");
    put("sys/fs/cgroup/a/b/memory.stat", "anon 100000\nfile 600000\nkernel 0\n");
    put("sys/fs/cgroup/a/memory.max", "max\n");
    assert_true(control_group_processors(root) == 1.5);
    assert_int_equal(control_group_memory(root), 900000);
    put("sys/fs/cgroup/a/memory.max", "500000\n");
    assert_int_equal(control_group_memory(root), 500000);
}

/* Both versions mounted, as on hosts of the time between; the container's path is not to be seen inside it.
 */
static void test_version_1(void **state)
{
    (void)state;
    put("proc/self/cgroup",
        "5:cpuacct,cpu:/docker/x\n4:memory:/docker/x\n1:cpuset:/docker/x\n0::/docker/x\n");
    put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "250000\n");
    put("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "2000000\n");
    put("sys/fs/cgroup/memory/memory.usage_in_bytes", "3000000\n");
    put("sys/fs/cgroup/memory/memory.stat", "cache 5\ntotal_cache 1500000\n");
    assert_true(control_group_processors(root) == 2.5);
    assert_int_equal(control_group_memory(root), 500000);
    put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    assert_true(control_group_processors(root) == 0);
    assert_true(control_group_memory(root) == SIZE_MAX);
}

static void test_nonsense(void **state)
{
    (void)state;
    put("proc/self/cgroup", "nothing\n:\n0::\n");
    put("sys/fs/cgroup/cpu.max", "a b\n");
    put("sys/fs/cgroup/memory.max", "\n");
    assert_true(control_group_processors(root) == 0);
    assert_true(control_group_memory(root) == SIZE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_none, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_unified, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_version_1, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_nonsense, make_root, remove_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
