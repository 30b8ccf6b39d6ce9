#!/usr/bin/env python3
"""A child of an rpopd pool, see rpopd.conf(5): one job after the other until the end of file."""
import json
import sys


def work(payload):  # yours: bytes in, bytes out
    return payload.upper()


def main():
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what is printed goes to the log
    for line in iter(requests.readline, b""):
        job = json.loads(line)
        payload = requests.read(job["len"])
        answer, result = {"id": job["id"], "status": "done"}, b""
        try:
            result = work(payload)
        except ValueError as error:  # another try would not help
            answer.update(status="dead", error=repr(error))
        except Exception as error:
            answer.update(status="retry", error=repr(error))
        answer["len"] = len(result)
        answers.write(json.dumps(answer).encode() + b"\n" + result)
        answers.flush()


main()
