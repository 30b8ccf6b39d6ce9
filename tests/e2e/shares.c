#include "tests/e2e/shares.h"

unsigned shares_seen(struct scene *s, unsigned max, const char *const *prefixes,
                     unsigned *ret_counts, unsigned n)
{
    size_t len;
    unsigned seen = 0;
    memset(ret_counts, 0, n * sizeof *ret_counts);
    for (const char *at = daemon_out(s->daemon, &len); at && seen < max;) {
        for (unsigned i = 0; i < n; i++) {
            char start[32];
            (void)snprintf(start, sizeof start, "Waiting %s", prefixes[i]);
            if (strncmp(at, start, strlen(start)) != 0)
                continue;
            ret_counts[i]++;
            seen++;
        }
        at = strchr(at, '\n');
        at = at ? at + 1 : NULL;
    }
    return seen;
}

const char *const shares_of[3] = {"0.001", "0.002", "0.003"};

void shares_are(struct scene *s, unsigned slots, const unsigned *weights)
{
    unsigned seen[3], sum = weights[0] + weights[1] + weights[2], jobs = 900;
    scene_await(s, LIMIT_MS, shares_seen(s, jobs, shares_of, seen, 3) == jobs);
    for (unsigned i = 0; i < 3; i++) {
        unsigned fair = jobs * weights[i] / sum;
        print_message("# weight %u: %u of %u, exactly %u\n", weights[i], seen[i], jobs, fair);
        assert_in_range(seen[i], fair - fair / 10 - slots, fair + fair / 10 + slots);
    }
}

void shares_push(struct scene *s, unsigned each)
{
    push_numbers(s, "queue", shares_of[0], 0, each);
    push_numbers(s, "second", shares_of[1], 0, each);
    push_numbers(s, "third", shares_of[2], 0, each);
}
