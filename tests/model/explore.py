# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
"""An explicit-state explorer, and the memory that the models of this directory share.

A model has
    first           the state that it begins in; states are tuples
    steps(state)    a list of (label, next state); raises Broken where a promise is broken
    done(state)     true if everything that was to be done has been done
    check(state)    raises Broken; called for each state that is done
    hopeless(state) true if nobody is left who could go on: such a state need not lead anywhere

explore() visits every state that can be reached. It finds a state that breaks a promise, or one
from which no done state can be reached any more though nobody dies: both are violations, and the
shortest way there is told. A label that begins with "die" is a death; the way to a done state may
not need one.

Memory is total store order: a store waits in its port's FIFO buffer, from which it reaches memory
at any later time; a load sees the port's own buffered stores first; a locked instruction and a
system call empty the port's buffer, a heavy barrier everybody's. A step of a port is at most one
load, locked instruction or barrier, and the stores that follow it. The last of these are called
fresh, because others can tell how many of them have been executed: by the port's death, which
makes visible what has been, and by a heavy barrier. Loads are taken together only where what they
read cannot change back.
"""
import gc


class Broken(Exception):
    """A promise is broken."""


def put(seq, i, value):
    return seq[:i] + (value,) + seq[i + 1:]


def load(mem, buf, addr):
    for a, value in reversed(buf):
        if a == addr:
            return value
    return mem[addr]


def prefixes(mem, buf, fresh, store):
    """Memory and what is left of the buffer, after all of its stores or without the last fresh."""
    found = []
    for i in range(len(buf) + 1):
        if i >= len(buf) - fresh:
            found.append((mem, buf[i:]))
        if i < len(buf):
            mem = store(mem, *buf[i])
    return found


def heavy_barrier(mem, bufs, fresh, store):
    """Whatever a heavy barrier can lead to: a list of (memory, buffers). What is left in a buffer
    has not been executed yet."""
    found = [(mem, ())]
    for buf, new in zip(bufs, fresh):
        found = [(m, done + (left,)) for before, done in found
                 for m, left in prefixes(before, buf, new, store)]
    return found


def path_to(parent, i):
    labels = []
    while parent[i][0] >= 0:
        labels.append(parent[i][1])
        i = parent[i][0]
    return labels[::-1]


def explore(model, limit=2000000):
    """Returns the number of states, what was violated or None, and the labels that lead there."""
    seen = {model.first: 0}
    order = [model.first]
    parent = [(-1, '')]
    before = [[]]
    ends = []
    here = 0
    gc.disable()        # nothing here is cyclic, and the collector would walk all states
    while here < len(order):
        state = order[here]
        try:
            following = model.steps(state)
            if model.done(state):
                model.check(state)
                ends.append(here)
        except Broken as e:
            return len(order), str(e), path_to(parent, here)
        for label, s in following:
            there = seen.get(s)
            if there is None:
                there = len(order)
                seen[s] = there
                order.append(s)
                parent.append((here, label))
                before.append([])
            if not label.startswith('die'):
                before[there].append(here)
        here += 1
        if len(order) > limit:
            raise OverflowError('more than %d states' % limit)
    leads = bytearray(len(order))
    for i in ends:
        leads[i] = 1
    while ends:
        for i in before[ends.pop()]:
            if not leads[i]:
                leads[i] = 1
                ends.append(i)
    for i, state in enumerate(order):
        if not leads[i] and not model.hopeless(state):
            return len(order), 'nothing leads on', path_to(parent, i)
    return len(order), None, []
