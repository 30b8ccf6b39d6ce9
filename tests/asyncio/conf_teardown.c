/* conf_teardown.c - scenarios of the area "run" that need an executor. */
#include <errno.h>

#include "tests/asyncio/conf.h"
#include "worker/runtime/executor.h"

struct box {
    struct loop *loop; /* shared */
    struct task *task;
};

static int long_job(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    block(6);
    tout("job ends");
    return 0;
}

static int flush(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)e;
    block(2);
    *ret_result = BOX("flushed");
    return 0;
}

static int leftover(void *arg, void **ret_result, struct err *e)
{
    void *v;
    (void)arg, (void)ret_result;
    int r = nap(20);
    if (r != -ECANCELED)
        return r;
    tout("leftover cancelled");
    struct future *f = need(run_in_executor(NULL, flush, NULL));
    must(future_await(f, &v, e));
    future_unref(f);
    tout("%s", TEXT(v));
    return r;
}

static int order_main(void *arg, void **ret_result, struct err *e)
{
    struct box *box = arg;
    (void)e;
    box->loop = loop_ref(loop_running());
    future_unref(need(run_in_executor(NULL, long_job, NULL)));
    box->task = need(task_create(leftover, NULL, NULL));
    must(nap(1));
    tout("main ends");
    *ret_result = BOX("value");
    return 0;
}

static void run_teardown_order(void)
{
    struct box box;
    void *v;
    start_clock();
    must(run(order_main, &box, &v, NULL));
    tout("run returned %s", TEXT(v));
    out("leftover cancelled: %s loop closed: %s", yes(task_cancelled(box.task)),
        yes(loop_is_closed(box.loop)));
    task_unref(box.task);
    loop_unref(box.loop);
}

const struct scenario teardown_scenarios[] = {
    {"run-teardown-order", run_teardown_order},
    {NULL, NULL},
};
