/* shaken_by.h - within rpopd-shaken: what the test asks for. Any thread. */
#ifndef TESTS_E2E_SHAKEN_BY_H
#define TESTS_E2E_SHAKEN_BY_H

#include "tests/e2e/shaken.h"

struct shaken *shaken_by(void);

#endif
