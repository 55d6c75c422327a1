#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
"""Sleeping on futexes, as lib/wait.c does it: a wake word for each port, a bit of the attention
word for each group of ports, which is settled after every kick and every sleep, and an agent that
finds deaths, repairs, and wakes everybody. See wait.py for what is checked, and what a process
does.

The agent finds the death of whom it watches. Who sleeps has it watch who has attached, by comparing
the ring's epoch with the one that he saw last. kernel is what is attached, what is watched, and the
epochs seen.

usage: futexes.py [SCENARIO [RULE]]      RULE is left out, and ought to be caught
"""
import sys
import wait
from explore import put
from wait import ALL, ASLEEP, AWAKE, BITS, BURIED, CLEAR, DEAD, ENDED, EPOCH, G, I, KICKED, LIVE, \
    MODE, N, SLEPT, WAKE, WORD, Scenario, Waits

SOURCES = (('include/ringq/wait.h', 'P.'), ('lib/wait.c', '[SKTANP].[a-z]?'),
           ('lib/places.c', 'N.'), ('lib/claim.c', 'X.'), ('lib/mpmc.c', 'S0'))

SCENARIOS = {
    'pair': Scenario('p0 p1', 'r1', count=True),
    'pair-dies': Scenario('p0 p1', 'r1', deaths=2),
    'fenced': Scenario('p0 p1', 'r1', fenced=True),
    'close': Scenario('p0', 'c', 'r1'),
    'gap': Scenario('p0', 'p1', 'o1', 'o1', asleep=(2, 3)),
    'gap-groups': Scenario('p0', 'p1', 'o1', 'o1', asleep=(2,), groups=2),
    'gap-both': Scenario('p0', 'p1', 'o1', 'o1', asleep=(2,)),
    'gap-arm': Scenario('p0', 'o1', 'o1', asleep=(1,), there=(1,)),
    'gap-dies': Scenario('p0', 'o1', 'o1', asleep=(1, 2), there=(1,), deaths=1),
    'group': Scenario('p0 p1', 'r1', 'r1'),
    'group-dies': Scenario('p0', 'r1', 'r1', deaths=1),
    'time-out': Scenario('p0', 't1', 'o1', asleep=(1, 2), deaths=1),
    'time-outs': Scenario('p0', 't1', 'o1', asleep=(1, 2), there=(1,)),
    'needs': Scenario('p0', 'o2', 'o1', asleep=(2,)),
    'needs-gap': Scenario('p0', 'o1', 'o2', 'o1', asleep=(1, 3), there=(1,), groups=3),
    'attach': Scenario('n p0', 'r1', deaths=1, fresh=(0,)),
}

RULES = dict(wait.RULES)
RULES.update({
    'early-clear': ('gap', 'K4: the bit is cleared after the kick'),
    'early-wake': ('pair', 'K3: FUTEX_WAKE after the mark KICKED'),
    'blind': ('group', 'T1, T3: a bit is not cleared but after a look at its group'),
    'look-again': ('group', 'T3: look again after the bit was cleared'),
    'kick-seen': ('gap-both', 'T5: who is seen then is kicked'),
    'pass-on': ('gap', 'X: who slept and leaves something behind passes the kick on'),
    'last-look': ('time-out', 'S6: look again after a time-out'),
    'wide': ('needs', 'S0: who waits for several says so'),
    'wide-late': ('needs', 'P5: look after the kick whether it may be lost'),
    'wide-own': ('needs-gap', 'X3: the same for a kick that is passed on'),
    'epoch': ('attach', 'S3: the epoch is part of the look'),
    'attach-wake': ('attach', 'N3: who attaches wakes all'),
    'bury-wake': ('pair-dies', 'A: a death wakes all'),
    'kicked': ('pair-dies', 'A2: also who is KICKED'),
})


class Futexes(Waits):
    services = ('do_agent',)
    KICK = KICK_OWN = 'K1'
    SLEEP, ASLEEP = 'N1', 'asleep'
    QUIET = {'do_groups', 'do_next_group'}

    def __init__(self, sc, without=''):
        n = len(sc.scripts)
        attached = tuple(k not in sc.fresh for k in range(n))
        super().__init__(sc, without, (attached, attached, (0,) * n))
        self.group = [[k for k in self.consumers if self.group_of(k) == g]
                      for g in range(sc.groups)]
        if not sc.fresh:
            self.quiet.add('N1')
        for k in sc.asleep:
            self.begin_asleep(k)

    def begin_asleep(self, k):
        super().begin_asleep(k)
        mem = put(self.first[0], WAKE + k, ASLEEP)
        self.first = (put(mem, WORD, mem[WORD] | self.bit(self.group_of(k))),) + self.first[1:]

    def bit(self, g):
        return 1 << g

    def armed(self, word):
        return word

    def group_of(self, k):
        return self.consumers.index(k) % self.sc.groups

    # A kick.
    def K1(self, p):
        """Which groups?"""
        p.set(BITS, p.see(WORD))
        if self.without == 'early-clear':
            p.locked(WORD, lambda word: 0)
        p.go('do_groups')

    def goes_on(self, p):
        return p.regs[N]

    def do_groups(self, p):
        bits = p.regs[BITS]
        if not bits or not self.goes_on(p):
            p.set(BITS, 0)
            p.set(N, 0)
            p.set(G, 0)
            p.set(I, 0)
            p.back()
            return
        g = (bits & -bits).bit_length() - 1
        p.set(BITS, bits & ~self.bit(g))
        p.set(G, g)
        p.set(I, 0)
        p.go('K3' if self.without == 'early-wake' else 'K2')

    def K2(self, p):
        """CAS of a port's wake word."""
        group = self.group[p.regs[G]]
        i = p.regs[I]
        if self.cas_kicked(p, WAKE + group[i]) == ASLEEP and \
                self.without != 'early-wake':
            p.go('K3')
        else:
            self.kicked_one(p, 0)

    def cas_kicked(self, p, addr):
        return p.locked(addr, lambda wake: KICKED if wake == ASLEEP else wake)

    def K3(self, p):
        """FUTEX_WAKE."""
        self.futex_wake(p, self.group[p.regs[G]][p.regs[I]])
        if self.without == 'early-wake':
            p.go('K2')
        else:
            self.credit(p, -1)
            self.kicked_one(p, 1)

    def kicked_one(self, p, by):
        p.set(I, p.regs[I] + 1)
        if p.regs[MODE]:
            if p.regs[I] < len(self.group[p.regs[G]]):
                p.go('K2')
            else:
                p.set(MODE, 0)
                p.set(I, 0)
                p.back()
            return
        p.set(N, ALL if p.regs[N] == ALL else p.regs[N] - by)
        if p.regs[I] < len(self.group[p.regs[G]]) and self.goes_on(p):
            p.go('K2')
        else:
            p.go('do_groups' if self.without == 'early-clear' else 'K4')

    def futex_wake(self, p, k):
        if p.procs[k][0] == 'asleep' and p.dead[k] == LIVE:
            p.wake(k, 'S5')

    def K4(self, p):
        """Settle the group."""
        p.ret += ('do_groups',)
        self.settle(p)

    # Settling.
    def settle(self, p):
        p.set(I, 0)
        if self.without == 'blind':
            self.T2(p)
        else:
            self.T1(p)

    def asleep(self, p):
        return p.see(WAKE + self.group[p.regs[G]][p.regs[I]]) == ASLEEP

    def look_on(self, p, pc, end):
        p.set(I, p.regs[I] + 1)
        if p.regs[I] < len(self.group[p.regs[G]]):
            p.go(pc)
        else:
            p.set(I, 0)
            end()

    def T1(self, p):
        """Is nobody of the group asleep?"""
        if self.asleep(p):
            p.set(I, 0)
            p.back()
        else:
            self.look_on(p, 'T1', lambda: p.go('T2'))

    def T2(self, p):
        """Clear the bit."""
        p.locked(WORD, lambda word: word & ~self.bit(p.regs[G]))
        if self.without in ('blind', 'look-again'):
            p.back()
        else:
            p.go('T3')

    def T3(self, p):
        """Look again."""
        if self.asleep(p):
            p.set(I, 0)
            p.go('T4')
        else:
            self.look_on(p, 'T3', p.back)

    def T4(self, p):
        """Set it again."""
        p.locked(WORD, lambda word: word | self.bit(p.regs[G]))
        if self.without == 'kick-seen':
            p.back()
        else:
            p.go('T5')

    def T5(self, p):
        """Kick the group."""
        p.set(MODE, 1)
        self.K2(p)

    # Sleep.
    def N1(self, p):
        """Have who attached watched."""
        attached, watched, seen = p.kernel
        p.kernel = (attached, attached, put(seen, p.k, p.see(EPOCH)))
        if self.without == 'arm-first':
            p.pc = 'S3'
            self.S3(p)
        else:
            p.go('S1a')

    def S1a(self, p):
        p.locked(WAKE + p.k, lambda wake: ASLEEP)
        p.set(SLEPT, 1)
        self.credit(p, 1)
        p.go('S1b')

    def S1b(self, p):
        p.locked(WORD, lambda word: word | self.bit(self.group_of(p.k)))
        if self.without == 'barrier' or self.sc.fenced:
            p.go('S4' if self.without == 'arm-first' else 'S3')
        else:
            self.barrier(p, 0)

    def S2(self, p):
        """The heavy barrier, of one process after the other."""
        p.flush(p.regs[I])
        self.barrier(p, p.regs[I] + 1)

    def barrier(self, p, i):
        """Whose buffer is empty need not be waited for."""
        while i < len(self.sc.scripts) and not p.bufs[i]:
            i += 1
        if i < len(self.sc.scripts):
            p.set(I, i)
            p.go('S2')
        else:
            p.set(I, 0)
            p.go('S4' if self.without == 'arm-first' else 'S3')

    def S3(self, p):
        """Look."""
        changed = p.see(EPOCH) != p.kernel[2][p.k] and self.without != 'epoch'
        if self.done_waiting(p) or changed:
            p.go('do_take' if self.without == 'arm-first' else 'S5')
        else:
            p.go('S1a' if self.without == 'arm-first' else 'S4')

    def S4(self, p):
        """FUTEX_WAIT."""
        p.flush()
        p.go('asleep' if p.mem[WAKE + p.k] == ASLEEP else 'S5')

    def S5(self, p):
        """Awake; settle the group."""
        p.locked(WAKE + p.k, lambda wake: AWAKE)
        p.set(G, self.group_of(p.k))
        p.set(I, 0)
        back = 'S6' if p.regs[BITS] else 'do_take'
        p.call('T1', back)

    def S6(self, p):
        """After a time-out: what came in the last moment counts."""
        p.set(BITS, 0)
        p.set(G, 0)
        if self.without != 'last-look' and self.done_waiting(p):
            p.go('do_take')
        else:
            p.next_op()

    def more_steps(self, state, out):
        for k in self.consumers:
            pc, ip, regs, ret = state[2][k]
            if pc == 'asleep' and state[3][k] == LIVE and self.scripts[k][ip][0] == 't':
                p = wait.Process(self, state, k, out)
                p.pc = 'time-out'
                p.set(BITS, 1)
                p.go('S5')

    # Who attaches, closes, or buries.
    def attach(self, p):
        attached, watched, seen = p.kernel
        p.kernel = (put(attached, p.k, True), watched, seen)
        p.go('N2')

    def N2(self, p):
        p.locked(EPOCH, lambda epoch: epoch + 1)
        p.go('do_next' if self.without == 'attach-wake' else 'N3')

    def N3(self, p):
        p.ret += ('do_next',)
        self.A1(p)

    def close(self, p):
        p.locked(ENDED, lambda ended: 1)
        p.call('A1', 'do_next')

    def A1(self, p):
        """Wake all: mark."""
        k = self.consumers[p.regs[I]]
        self.mark(p, k, self.cas_kicked(p, WAKE + k))

    def mark(self, p, k, old):
        if old == AWAKE or old == KICKED and self.without == 'kicked':
            self.woken_one(p)
        else:
            p.go('A2')

    def A2(self, p):
        """FUTEX_WAKE."""
        self.futex_wake(p, self.consumers[p.regs[I]])
        self.woken_one(p)

    def woken_one(self, p):
        p.set(I, p.regs[I] + 1)
        if p.regs[I] < len(self.consumers):
            p.go('A1')
        else:
            p.set(I, 0)
            p.set(G, 0)
            p.go('A3')

    def A3(self, p):
        """Settle all groups."""
        if p.regs[G] + 1 < self.sc.groups:
            p.ret += ('do_next_group',)
        self.settle(p)

    def do_next_group(self, p):
        p.set(G, p.regs[G] + 1)
        p.go('A3')

    def do_agent(self, p):
        """Bury one."""
        dead = [k for k in range(len(self.sc.scripts))
                if p.dead[k] == DEAD and self.is_found_by(p.kernel, k)]
        k = dead[0]
        p.pc = 'bury'
        p.dead = put(p.dead, k, BURIED)
        self.repair(p, k)
        if k in self.consumers:
            p.mem = put(p.mem, WAKE + k, AWAKE)
        p.mem = put(p.mem, EPOCH, p.mem[EPOCH] + 1)
        p.regs = CLEAR
        if self.without == 'bury-wake':
            p.go('do_agent')
        else:
            p.call('A1', 'do_agent')

    def is_found_by(self, kernel, k):
        return kernel[1][k]

    def is_found(self, state, k):
        return self.is_found_by(state[4], k)

    def enabled(self, state, k):
        if state[2][k][0] == 'do_agent':
            return any(d == DEAD and self.is_found(state, j) for j, d in enumerate(state[3][:-2]))
        return super().enabled(state, k)


if __name__ == '__main__':
    sys.exit(wait.main(Futexes, SCENARIOS, RULES))
