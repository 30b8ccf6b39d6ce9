/* Apart from the table of handlers: a build of the tests has a table of its own. */
#include "worker/handler/handler.h"

atomic_bool handler_at_once;
