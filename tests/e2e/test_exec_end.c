/* The handler exec: the end of all that a job has started; by its cgroup, where there is one. */
#include "tests/e2e/exec.h"

int main(void)
{
    return exec_end_run();
}
