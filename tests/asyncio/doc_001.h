/* doc_001.h - the two halves of document 001. */
#ifndef TESTS_ASYNCIO_DOC_001_H
#define TESTS_ASYNCIO_DOC_001_H

#include "tests/asyncio/doc.h"

extern const struct example request_examples[];

#endif
