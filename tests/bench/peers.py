"""peers.py asyncio|uvloop switch|submit|trip - what CPython's event loops reach, one figure a line.

switch: ns a turn of one of two tasks in sleep(0). submit: millions of run_coroutine_threadsafe a
second, submitted and done. trip: us (median) from a submission to its result in the other thread.
Prints nothing where the loop is not installed.
"""
import asyncio
import sys
import threading
import time

TURNS = 200000
SUBMISSIONS = 50000
TRIPS = 3000


async def spin():
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def switch():
    t0 = time.perf_counter()
    await asyncio.gather(spin(), spin())
    return (time.perf_counter() - t0) / TURNS / 2 * 1e9


async def count(done):
    done[0] += 1


class Background:
    """A loop that runs in a thread of its own."""

    def __enter__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        return self.loop

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()


def submit():
    done = [0]
    with Background() as loop:
        t0 = time.perf_counter()
        for _ in range(SUBMISSIONS):
            asyncio.run_coroutine_threadsafe(count(done), loop)
        t1 = time.perf_counter()
        while done[0] < SUBMISSIONS:
            time.sleep(0.0002)
        t2 = time.perf_counter()
    return SUBMISSIONS / (t1 - t0) / 1e6, SUBMISSIONS / (t2 - t0) / 1e6


def trip():
    taken = []
    with Background() as loop:
        for _ in range(TRIPS):
            t0 = time.perf_counter()
            asyncio.run_coroutine_threadsafe(count([0]), loop).result()
            taken.append(time.perf_counter() - t0)
    return sorted(taken)[TRIPS // 2] * 1e6


def main():
    kind, what = sys.argv[1:]
    if kind == "uvloop":
        try:
            import uvloop
        except ImportError:
            return
        uvloop.install()
    if what == "switch":
        print(asyncio.run(switch()))
    elif what == "submit":
        print(*submit(), sep="\n")
    else:
        print(trip())


main()
