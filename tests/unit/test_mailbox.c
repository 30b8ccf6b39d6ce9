/* The mailbox: order, the wake-up that many messages share, four threads that push at once. */
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

#include "common/mailbox.h"

#define PRODUCERS 4
#define MESSAGES 100000 /* of each */
#define AT_ONCE 10      /* share a wake-up */

struct letter {
    struct mail mail; /* first */
    int from, number;
};

static void count_wake(void *arg)
{
    ++*(int *)arg;
}

static void an_empty_mailbox_gives_nothing(void **state)
{
    (void)state;
    struct mailbox m;
    int wakes = 0;
    mailbox_init(&m, count_wake, &wakes);
    assert_null(mailbox_take(&m));
    assert_null(mailbox_take(&m));
    assert_int_equal(wakes, 0);
}

static void messages_come_oldest_first_and_all_at_once(void **state)
{
    (void)state;
    struct mailbox m;
    struct letter at[3];
    int wakes = 0;
    mailbox_init(&m, count_wake, &wakes);
    for (int i = 0; i < 3; i++)
        mailbox_push(&m, &at[i].mail);
    struct mail *first = mailbox_take(&m);
    assert_ptr_equal(first, &at[0].mail);
    assert_ptr_equal(first->next, &at[1].mail);
    assert_ptr_equal(first->next->next, &at[2].mail);
    assert_null(first->next->next->next);
    assert_null(mailbox_take(&m));
}

static void the_owner_is_woken_where_that_is_asked_for(void **state)
{
    (void)state;
    struct mailbox m;
    struct letter at[3];
    int wakes = 0;
    mailbox_init(&m, count_wake, &wakes);
    mailbox_push(&m, &at[0].mail);
    mailbox_push(&m, &at[1].mail);
    assert_int_equal(wakes, 0);
    mailbox_wake(&m);
    assert_int_equal(wakes, 1);
    assert_non_null(mailbox_take(&m));
    mailbox_push(&m, &at[2].mail);
    assert_int_equal(wakes, 1);
    mailbox_wake(&m);
    assert_int_equal(wakes, 2);
}

static void a_message_may_be_pushed_again_once_it_was_taken(void **state)
{
    (void)state;
    struct mailbox m;
    struct letter at[2];
    mailbox_init(&m, count_wake, NULL);
    for (int i = 0; i < 3; i++) {
        mailbox_push(&m, &at[1].mail);
        mailbox_push(&m, &at[0].mail);
        struct mail *first = mailbox_take(&m);
        assert_ptr_equal(first, &at[1].mail);
        assert_ptr_equal(first->next, &at[0].mail);
        assert_null(first->next->next);
    }
}

struct crowd {
    struct mailbox box;
    sem_t woken;
    struct producer {
        pthread_t thread;
        struct crowd *crowd;
        struct letter *letters;
        int expected; /* the next number of it that may come */
    } producer[PRODUCERS];
};

static void wake_crowd(void *arg)
{
    struct crowd *c = arg;
    (void)sem_post(&c->woken);
}

static void *produce(void *arg)
{
    struct producer *p = arg;
    for (int i = 0; i < MESSAGES; i++) {
        p->letters[i] = (struct letter){.from = (int)(p - p->crowd->producer), .number = i};
        mailbox_push(&p->crowd->box, &p->letters[i].mail);
        if (i % AT_ONCE == AT_ONCE - 1)
            mailbox_wake(&p->crowd->box);
    }
    return NULL;
}

static bool await_wake(struct crowd *c)
{
    struct timespec end;
    (void)clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += 60;
    return sem_timedwait(&c->woken, &end) == 0;
}

/* Behind the wake-up for it no message is left lying. */
static void four_threads_lose_nothing_and_share_wake_ups(void **state)
{
    (void)state;
    static struct crowd c;
    long got = 0, disorder = 0;
    bool woken = true;
    assert_int_equal(sem_init(&c.woken, 0, 0), 0);
    mailbox_init(&c.box, wake_crowd, &c);
    for (int i = 0; i < PRODUCERS; i++) {
        c.producer[i] = (struct producer){.crowd = &c};
        c.producer[i].letters = calloc(MESSAGES, sizeof *c.producer[i].letters);
        assert_non_null(c.producer[i].letters);
        assert_int_equal(pthread_create(&c.producer[i].thread, NULL, produce, &c.producer[i]), 0);
    }
    while (got < PRODUCERS * MESSAGES && woken) {
        struct mail *next, *first = mailbox_take(&c.box);
        if (!first)
            woken = await_wake(&c);
        for (struct mail *m = first; m; m = next, got++) {
            const struct letter *l = (const struct letter *)m;
            next = m->next;
            disorder += c.producer[l->from].expected++ != l->number;
        }
    }
    for (int i = 0; i < PRODUCERS; i++)
        assert_int_equal(pthread_join(c.producer[i].thread, NULL), 0);
    assert_true(woken);
    assert_int_equal(got, PRODUCERS * MESSAGES);
    assert_int_equal(disorder, 0);
    assert_null(mailbox_take(&c.box));
    for (int i = 0; i < PRODUCERS; i++)
        free(c.producer[i].letters);
    (void)sem_destroy(&c.woken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_mailbox_gives_nothing),
        cmocka_unit_test(messages_come_oldest_first_and_all_at_once),
        cmocka_unit_test(the_owner_is_woken_where_that_is_asked_for),
        cmocka_unit_test(a_message_may_be_pushed_again_once_it_was_taken),
        cmocka_unit_test(four_threads_lose_nothing_and_share_wake_ups),
    };
    return cmocka_run_group_tests_name("mailbox", tests, NULL, NULL);
}
