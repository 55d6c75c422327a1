#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
"""Sleeping in the module, as kmod/wait.c does it: who is armed is known to the kernel alone, under
the ring's lock, and the attention word follows. See wait.py for what is checked, and what a process
does.

What is done under the lock is one step, for nobody else sees but the word, which is stored through
the buffer of the CPU; who takes the lock next finds it stored. The heavy barrier reaches the other
side only. Beside what wait.py has, a process can eN: take N messages, and sleep in level-triggered
epoll_wait() before each of them, for ever.

kernel is (who waits, in the order of their arms; who is armed by poll; for each process those who
were armed when the kick came that woke it; fenced; who is in S2 with no lull since; who has an
event in epoll, None before it is added). A port waits as long as it is in the first.

usage: module.py [SCENARIO [RULE]]      RULE is left out, and ought to be caught
"""
import sys
import wait
from explore import put
from wait import ALL, BITS, BURIED, DEAD, ENDED, I, INDEX, LIVE, MODE, N, SLEPT, WORD, Scenario, \
    Waits

SOURCES = (('kmod/wait.c', '[PSKH].[a-z]?'), ('kmod/barrier.c', 'S.'), ('kmod/look.c', 'S.'),
           ('include/ringq/wait.h', 'P.'), ('lib/wait.c', 'P.|S6'), ('lib/claim.c', 'X.'),
           ('lib/mpmc.c', 'S0'))
WAITING, POLLING, KICKED, FENCED, STEADY, EVENTS = range(6)

SCENARIOS = {
    'pair': Scenario('p0 p1', 'r1', count=True),
    'pair-dies': Scenario('p0 p1', 'r1', deaths=2),
    'fenced': Scenario('p0 p1', 'r1', fenced=True),
    'close': Scenario('p0', 'c', 'r1'),
    'gap': Scenario('p0', 'p1', 'o1', 'o1'),
    'three': Scenario('p0 p1', 'o1', 'o1', 'o1'),
    'lull': Scenario('p0 p1', 'r1', 'r1'),
    'lulls': Scenario('p0', 'p1', 't1', 'r1'),
    'time-out': Scenario('p0 p1', 't1', 'o1', 'o1'),
    'needs': Scenario('p0', 'o2', 'o1', 'o1', asleep=(1, 2), there=(1,)),
    'needs-gap': Scenario('p0', 'o1', 'o2', 'o1', 'o1', asleep=(1, 3), there=(1,)),
    'hand-on': Scenario('p0', 'o2', 'o1', wide=False),
    'hand-on-end': Scenario('p0', 't2', 'o1', wide=False),
    'poll': Scenario('p0 p1', 'e1', deaths=1),
    'poll-wait': Scenario('p0 p1', 'e1', 'o1'),
    'polls': Scenario('p0', 'p1', 'e1', 'e1'),
    'give-back': Scenario('g0', 'o1'),
    'dies': Scenario('p0', 'p1', 'o1', 'o1', deaths=1),
}

RULES = dict(wait.RULES)
RULES.update({
    'lull': ('lulls', 'S2a: fenced only if there was no lull since the arm'),
    'lull-keep': ('lull', 'K3: a lull ends what is fenced'),
    'pass-on': ('gap', 'X: who slept and leaves something behind passes the kick on'),
    'wide': ('needs', 'S0: who waits for several says so'),
    'hand-on': ('hand-on', 'H1: who arms again hands the kick on that woke it'),
    'hand-on-end': ('hand-on-end', 'S5: so does who gives up'),
    'no-qproc': ('poll', 'S1: a poll arms also if it is not given a queue'),
    'poll-look': ('poll', 'S3: a poll looks again after it has armed'),
    'own-fence': ('give-back', 'X1: who passes on has a fence before the look at the word'),
    'bury-wake': ('pair-dies', 'a death wakes all'),
})


class Module(Waits):
    services = ('do_kernel',)
    KICK = 'K1'
    KICK_OWN = 'K1'
    SLEEP, ASLEEP = 'S1', 'S4'

    def __init__(self, sc, without=''):
        n = len(sc.scripts)
        super().__init__(sc, without, ((), (False,) * n, ((),) * n, False, (False,) * n,
                                       (None,) * n))
        self.givers = [k for k in range(n) if sc.scripts[k][0][0] == 'g']
        self.other_side = [k for k in self.producers if k not in self.givers]
        self.quiet -= {'X1'} if self.givers else set()
        for k in sc.asleep:
            self.begin_asleep(k)

    def begin_asleep(self, k):
        super().begin_asleep(k)
        mem, bufs, procs, dead, kernel = self.first
        kernel = put(put(kernel, WAITING, kernel[WAITING] + (k,)), FENCED, True)
        self.first = (put(mem, WORD, 1), bufs, procs, dead, kernel)

    def armed(self, word):
        return word & 1

    def ended(self, p):
        return p.see(WORD) & 2

    def kset(self, p, i, value):
        p.kernel = put(p.kernel, i, value)

    def mark(self, p, i, k, value):
        self.kset(p, i, put(p.kernel[i], k, value))

    # Under the lock, which nobody gets before the last owner's store of the word.
    def enabled(self, state, k):
        pc, ip, regs, ret = state[2][k]
        if pc == 'S4':
            return k not in state[4][WAITING]
        if pc == 'do_epoll':
            return state[4][EVENTS][k] is True
        if pc == 'do_kernel':
            return any(d == DEAD for d in state[3][:-2]) or regs[MODE]
        return super().enabled(state, k)

    def lock(self, p):
        for k in range(len(p.bufs)):
            while any(a == WORD for a, value in p.bufs[k]):
                a, value = p.bufs[k][0]
                p.mem = put(p.mem, a, value)
                p.bufs = put(p.bufs, k, p.bufs[k][1:])
        p.flush()

    def update(self, p):
        """The word, after who is armed has changed."""
        word = p.see(WORD) & 2 | p.mem[ENDED]
        if p.kernel[WAITING] or any(p.kernel[POLLING]):
            word |= 1
        else:
            self.kset(p, STEADY, (False,) * len(p.kernel[STEADY]))
            if self.without != 'lull-keep':
                self.kset(p, FENCED, False)
        p.store(WORD, word)

    def disarm(self, p, k):
        waiting, polling, kicked = p.kernel[:3]
        self.kset(p, WAITING, tuple(j for j in waiting if j != k))
        self.kset(p, KICKED, tuple(tuple(j for j in m if j != k) for m in kicked))

    def wake(self, p, k, kicked):
        self.disarm(p, k)
        self.mark(p, KICKED, k, tuple(j for j in kicked if j != k))

    def wake_some(self, p, count):
        for k in p.kernel[WAITING][:count]:
            self.wake(p, k, p.kernel[WAITING])

    def wake_pollers(self, p):
        """Who polls is on the queue whether it is armed or not."""
        polls = [k for k in self.consumers if self.scripts[k][0][0] == 'e']
        self.kset(p, POLLING, (False,) * len(p.kernel[POLLING]))
        for k in polls:
            if p.kernel[EVENTS][k] is not None:
                self.mark(p, EVENTS, k, True)

    def hand_on(self, p):
        mine, waiting = p.kernel[KICKED][p.k], p.kernel[WAITING]
        if waiting and waiting[0] in mine:
            self.wake(p, waiting[0], mine)
            self.update(p)
        self.mark(p, KICKED, p.k, ())

    # A kick.
    def K1(self, p):
        """RINGQ_IOC_KICK: sleepers, pollers, the word."""
        self.lock(p)
        self.credit(p, -1)
        self.wake_some(p, p.regs[N])
        self.K2(p)
        self.K3(p)
        p.set(N, 0)
        p.back()

    K2 = wake_pollers
    K3 = update

    # Sleep.
    def S1(self, p):
        """Arm."""
        self.lock(p)
        p.set(SLEPT, 1)
        self.credit(p, 1)
        if self.without == 'hand-on':
            self.mark(p, KICKED, p.k, ())
        self.H1(p)
        self.kset(p, WAITING, p.kernel[WAITING] + (p.k,))
        self.armed_now(p)

    H1 = hand_on

    def armed_now(self, p):
        fenced = p.kernel[FENCED]
        self.update(p)
        if fenced:
            self.look(p)
        else:
            self.mark(p, STEADY, p.k, True)
            p.go('S2')

    def S2(self, p):
        """The heavy barrier of the other side; at first a fence of its own."""
        p.flush()
        skip = self.without == 'barrier' or self.sc.fenced
        self.barrier(p, len(self.other_side) if skip else 0)

    def do_barrier(self, p):
        p.flush(self.other_side[p.regs[I]])
        self.barrier(p, p.regs[I] + 1)

    def barrier(self, p, i):
        """Whose buffer is empty need not be waited for."""
        while i < len(self.other_side) and not p.bufs[self.other_side[i]]:
            i += 1
        if i < len(self.other_side):
            p.set(I, i)
            p.go('do_barrier')
        else:
            p.set(I, 0)
            p.go('S2a')

    def S2a(self, p):
        """Fenced, if there was no lull since."""
        self.lock(p)
        if p.kernel[STEADY][p.k] or self.without == 'lull':
            self.kset(p, FENCED, True)
        self.mark(p, STEADY, p.k, False)
        self.look(p)

    def look(self, p):
        if self.without == 'arm-first':
            p.go('S4')
        elif self.without == 'poll-look' and p.op[0] == 'e':
            p.go('do_epoll')
        else:
            p.go('S3')

    def S3(self, p):
        """Look."""
        there = self.done_waiting(p)
        if p.op[0] != 'e':
            p.go('S5' if there else 'S4')
        elif there:
            self.event(p)
        else:
            p.go('do_epoll')

    def S4(self, p):
        """Awake: what is there outranks the clock."""
        p.go('S5' if self.done_waiting(p) else 'S1')

    def more_steps(self, state, out):
        for k in self.consumers:
            pc, ip, regs, ret = state[2][k]
            if pc == 'S4' and state[3][k] == LIVE and self.scripts[k][ip][0] == 't':
                p = wait.Process(self, state, k, out)
                p.pc = 'time-out'
                p.set(BITS, not self.done_waiting(p))
                p.go('S5')

    def S5(self, p):
        """Disarm; what came of it?"""
        in_vain = p.regs[BITS]
        self.lock(p)
        if p.k in p.kernel[WAITING]:
            self.disarm(p, p.k)
            self.update(p)
        if in_vain and self.without != 'hand-on-end':
            self.hand_on(p)
        self.mark(p, KICKED, p.k, ())
        p.set(BITS, 0)
        p.go('S6' if in_vain else 'do_take')

    def S6(self, p):
        """After a time-out: what came in the last moment counts."""
        if self.done_waiting(p):
            p.go('do_take')
        else:
            p.next_op()

    # Level-triggered epoll.
    def do_op(self, p):
        if p.op[0] == 'e':
            # EPOLL_CTL_ADD: on the queue, and asks the file.
            p.pc = 'add'
            self.mark(p, EVENTS, p.k, False)
            p.go('do_poll')
        else:
            super().do_op(p)

    def do_epoll(self, p):
        """epoll_wait() has an event, and asks the file."""
        p.pc = 'epoll'
        self.mark(p, EVENTS, p.k, False)
        p.set(BITS, 1)
        p.go('do_poll')

    def do_poll(self, p):
        if self.done_waiting(p):
            self.event(p)
        elif self.without == 'no-qproc' and p.regs[BITS]:
            p.go('do_epoll')
        else:
            p.go('do_arm')

    def do_arm(self, p):
        p.pc = 'S1'
        self.lock(p)
        if p.kernel[POLLING][p.k]:
            self.look(p)
            return
        self.mark(p, POLLING, p.k, True)
        self.credit(p, 1)
        self.armed_now(p)

    def event(self, p):
        """It stays an event, because that is level-triggered, and is told to who waits."""
        self.mark(p, EVENTS, p.k, True)
        p.go('do_serve' if p.regs[BITS] else 'do_epoll')

    def do_serve(self, p):
        if self.ready(p, 1):
            p.locked(INDEX, lambda index: index + 1)
        elif self.ended(p):
            p.next_op()
            return
        p.go('do_epoll')

    def is_waiting(self, state, k):
        return state[2][k][0] in ('S4', 'do_epoll')

    def close(self, p):
        p.pc = 'close'
        self.lock(p)
        p.mem = put(p.mem, ENDED, 2)
        self.wake_all(p)
        p.next_op()

    def wake_all(self, p):
        self.wake_some(p, ALL)
        self.wake_pollers(p)
        self.update(p)

    def do_kernel(self, p):
        """A port is over: all wake. It is repaired, and all wake again."""
        p.pc = 'bury'
        self.lock(p)
        dead = [k for k in range(len(self.sc.scripts)) if p.dead[k] == DEAD]
        if not p.regs[MODE]:
            k = dead[0]
            self.disarm(p, k)
            self.mark(p, POLLING, k, False)
            self.mark(p, KICKED, k, ())
            self.mark(p, STEADY, k, False)
            self.mark(p, EVENTS, k, None)
            p.dead = put(p.dead, k, BURIED)
            p.set(MODE, k + 1)
        else:
            self.repair(p, p.regs[MODE] - 1)
            p.set(MODE, 0)
        if self.without != 'bury-wake':
            self.wake_all(p)
        p.go('do_kernel')


if __name__ == '__main__':
    sys.exit(wait.main(Module, SCENARIOS, RULES))
