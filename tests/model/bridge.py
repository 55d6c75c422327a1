#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
"""An eventfd for ports that sleep on futexes, for who has a loop of his own, as lib/bridge.c makes
it. See futexes.py for the rest.

A port that is armed for its eventfd has POLLED in its wake word. A thread of the process, the
bridge, waits with futex_waitv(2) for a change of the wake words that are armed, and of a control
word, which tells it that there is one more; it makes eventfds readable. The invariant: if the
eventfd cannot be read, then the port is armed, and was seen empty after that.

Beside what wait.py has, a process can bN: take all there is whenever the eventfd can be read, and
arm, for ever; dN: do that once, without waiting, and go on, for instance to a sleep that blocks.

usage: bridge.py [SCENARIO [RULE]]      RULE is left out, and ought to be caught
"""
import sys
import wait
from explore import put
from futexes import Futexes
from wait import ASLEEP, AWAKE, CLEAR, EPOCH, G, I, INDEX, KICKED, LIVE, MODE, N, POLLED, \
    WAKE, WORD, Scenario

SOURCES = (('lib/bridge.c', '[EB].'),)

SCENARIOS = {
    'loop': Scenario('p0 p1', 'b1'),
    'dies': Scenario('p0', 'b1', deaths=2),
    'gap': Scenario('p0', 'p1', 'b1', asleep=(2,)),
    'mixed': Scenario('p0 p1', 'd1 o1 b1'),
    'beside': Scenario('p0', 'b1', 'o1', asleep=(1, 2)),
    'tries': Scenario('p0', 'd1 d1 b1'),
    'attach': Scenario('n p0', 'b1', deaths=1, fresh=(0,)),
}

RULES = {
    'barrier': ('loop', 'E4: a heavy barrier between arming and looking'),
    'look': ('loop', 'E5: look after arming'),
    'write-back': ('loop', 'E5: it is made readable again if there is something'),
    'epoch': ('attach', 'E5: the epoch is part of the look'),
    'clear': ('loop', 'E1: the eventfd is cleared'),
    'armed-first': ('loop', 'E6: armed before the control word changes'),
    'control': ('loop', 'E6: the control word changes'),
    'tell': ('loop', 'E6: who waits for it is woken'),
    'write-last': ('loop', 'B2: not armed before the eventfd is written'),
    'told-last': ('tries', 'B2: the eventfd is written before it is said to be'),
    'readable': ('mixed', 'who goes to sleep makes the eventfd readable first'),
    'wake-all': ('mixed', 'K3: wakes all who wait for the word'),
    'polled-bit': ('loop', 'T1, T3: who is POLLED needs the bit'),
    'polled-death': ('dies', 'A1: a death kicks who is POLLED'),
}


class Bridge(Futexes):
    services = ('do_agent', 'B1')
    SLEEP = 'do_disarm'
    MORE = (1, 0, 0, 1)

    def __init__(self, sc, without=''):
        self.owner = [k for k, s in enumerate(sc.scripts) if s[0][0] in 'bd'][0]
        self.bridge = len(sc.scripts) + 1
        super().__init__(sc, without)

    def begin_asleep(self, k):
        super().begin_asleep(k)
        if k == self.owner:
            mem, bufs, procs, dead, kernel = self.first
            for addr, value in ((WAKE + k, POLLED), (self.eventfd, 0), (self.armed_word, 1),
                                (self.told, 0)):
                mem = put(mem, addr, value)
            procs = put(put(procs, k, ('do_loop', 0, CLEAR, ())), self.bridge,
                        ('waitv', 0, put(CLEAR, I, 1), ()))
            self.first = (mem, bufs, procs, dead, kernel)

    # The process's own memory.
    @property
    def eventfd(self):
        return self.stamp + self.positions

    @property
    def control(self):
        return self.eventfd + 1

    @property
    def armed_word(self):
        return self.eventfd + 2

    @property
    def told(self):
        """The eventfd has been written since it was cleared."""
        return self.eventfd + 3

    @classmethod
    def tags(cls):
        return {tag for tag in super().tags() if tag[0] in 'EB'}

    # What changes without. A kick is for all who are POLLED, beside those whom it counts.
    def goes_on(self, p):
        return True

    def cas(self, p, addr, state):
        return p.locked(addr, lambda wake: KICKED if wake == state else wake) == state

    def this(self, p):
        return self.group[p.regs[G]][p.regs[I]]

    def K2(self, p):
        if self.cas(p, WAKE + self.this(p), POLLED):
            p.go('do_wake_polled')
        elif p.regs[N] or p.regs[MODE]:
            p.go('do_kick_asleep')
        else:
            self.kicked_one(p, 0)

    def do_kick_asleep(self, p):
        p.pc = 'K2'
        if self.cas(p, WAKE + self.this(p), ASLEEP):
            p.go('K3')
        else:
            self.kicked_one(p, 0)

    def do_wake_polled(self, p):
        p.pc = 'K3'
        self.futex_wake(p, self.this(p))
        self.kicked_one(p, 0)

    def asleep(self, p):
        wake = p.see(WAKE + self.this(p))
        return wake == ASLEEP or wake == POLLED and self.without != 'polled-bit'

    def futex_wake(self, p, k):
        bridge = k == self.owner and p.procs[self.bridge][0] == 'waitv' and \
            p.procs[self.bridge][2][I]
        if bridge:
            p.wake(self.bridge, 'B1')
        if not bridge or self.without != 'wake-all':
            super().futex_wake(p, k)

    def A1(self, p):
        k = self.consumers[p.regs[I]]
        if self.cas(p, WAKE + k, ASLEEP):
            p.go('A2')
        else:
            p.go('do_wake_more')

    def do_wake_more(self, p):
        """Who is POLLED, or KICKED already by who died before he woke him."""
        p.pc = 'A1'
        k = self.consumers[p.regs[I]]
        polled = self.without != 'polled-death' and self.cas(p, WAKE + k, POLLED)
        if polled or p.mem[WAKE + k] == KICKED:
            p.go('A2')
        else:
            self.woken_one(p)

    # The port's thread.
    def do_disarm(self, p):
        """Before it sleeps."""
        p.pc = 'disarm'
        if p.k == self.owner and self.without != 'readable' and \
                p.locked(self.armed_word, lambda n: 0):
            p.call('do_signal', 'N1')
        else:
            p.go('N1')

    def do_take(self, p):
        if p.op[0] in 'bd':
            p.go('do_loop' if p.op[0] == 'b' else 'do_drain')
        else:
            super().do_take(p)

    def do_loop(self, p):
        """The eventfd can be read."""
        p.pc = 'loop'
        self.do_drain(p)

    def do_drain(self, p):
        if self.ready(p, 1):
            p.locked(INDEX, lambda index: index + 1)
            p.go('do_drain')
        elif self.ended(p):
            p.next_op(len(self.scripts[p.k]) - p.ip)
        else:
            attached, watched, seen = p.kernel
            p.kernel = (attached, attached, put(seen, p.k, p.see(EPOCH)))
            p.go('E1')

    def E1(self, p):
        """Has it been written since? Then clear it."""
        if p.see(self.told) and self.without != 'clear':
            p.store(self.told, 0)
            p.go('do_clear')
        else:
            p.go('E2')

    def do_clear(self, p):
        p.pc = 'E1'
        p.locked(self.eventfd, lambda n: 0)
        p.go('E2')

    def E2(self, p):
        """Still armed?"""
        if p.see(self.armed_word):
            self.over(p)
        else:
            p.go('E3')

    def E3(self, p):
        """The wake word, then the bit."""
        p.locked(WAKE + p.k, lambda wake: POLLED)
        p.go('do_bit')

    def do_bit(self, p):
        p.pc = 'E3'
        p.locked(WORD, lambda word: word | self.bit(self.group_of(p.k)))
        p.go('E5' if self.without == 'barrier' else 'E4')

    def E4(self, p):
        """The heavy barrier, of one process after the other."""
        p.flush(p.regs[I])
        i = p.regs[I] + 1
        while i < len(self.sc.scripts) and not p.bufs[i]:
            i += 1
        p.set(I, i % len(self.sc.scripts))
        p.go('E4' if i < len(self.sc.scripts) else 'E5')

    def E5(self, p):
        """Look."""
        changed = p.see(EPOCH) != p.kernel[2][p.k] and self.without != 'epoch'
        if (self.done_waiting(p) or changed) and self.without != 'look':
            p.go('do_awake')
        else:
            p.go('do_control' if self.without == 'armed-first' else 'E6')

    def do_awake(self, p):
        """There is something: settle the group, and make the eventfd readable."""
        p.pc = 'E5'
        p.locked(WAKE + p.k, lambda wake: AWAKE)
        p.set(G, self.group_of(p.k))
        p.set(I, 0)
        p.ret += ('do_over',)
        p.call('T1', 'do_over' if self.without == 'write-back' else 'do_signal')

    def E6(self, p):
        """Armed, for the bridge."""
        p.locked(self.armed_word, lambda n: 1)
        if self.without == 'armed-first':
            self.over(p)
        else:
            p.go('do_control')

    def do_control(self, p):
        p.pc = 'E6'
        p.locked(self.control, lambda n: n + (self.without != 'control'))
        p.go('do_tell')

    def do_tell(self, p):
        p.pc = 'E6'
        if p.procs[self.bridge][0] == 'waitv' and self.without != 'tell':
            p.wake(self.bridge, 'B1')
        if self.without == 'armed-first':
            p.go('E6')
        else:
            self.over(p)

    def do_over(self, p):
        p.ret = ()
        self.over(p)

    def over(self, p):
        p.regs = CLEAR
        if p.op[0] == 'd':
            p.next_op()
        else:
            p.go('do_loop')

    # The bridge. N is the control word, I whether it waits for the wake word too.
    def B1(self, p):
        """Load the control word, then look at each armed port."""
        p.regs = put(CLEAR, N, p.see(self.control))
        p.go('do_is_armed')

    def do_is_armed(self, p):
        p.pc = 'B1'
        p.go('do_is_polled' if p.see(self.armed_word) else 'B3')

    def do_is_polled(self, p):
        p.pc = 'B1'
        if p.see(WAKE + self.owner) == POLLED:
            p.set(I, 1)
            p.go('B3')
        elif self.without == 'write-last':
            p.call('do_signal', 'B2')
        else:
            p.go('B2')

    def B2(self, p):
        """Not armed, and the eventfd is written."""
        armed = p.locked(self.armed_word, lambda n: 0)
        if armed and self.without != 'write-last':
            p.call('do_signal', 'B3')
        else:
            p.go('B3')

    def do_signal(self, p):
        p.pc = 'signal'
        if self.without == 'told-last':
            p.locked(self.told, lambda n: 1)
        else:
            p.locked(self.eventfd, lambda n: 1)
        p.go('do_signalled')

    def do_signalled(self, p):
        p.pc = 'signalled'
        if self.without == 'told-last':
            p.locked(self.eventfd, lambda n: 1)
        else:
            p.store(self.told, 1)
        p.back()

    def B3(self, p):
        """Sleep as long as all is as it was."""
        p.flush()
        changed = p.mem[self.control] != p.regs[N] or \
            p.regs[I] and p.mem[WAKE + self.owner] != POLLED
        p.go('B1' if changed else 'waitv')

    def enabled(self, state, k):
        pc = state[2][k][0]
        if k == self.bridge:
            return pc != 'waitv' and state[3][self.owner] == LIVE
        if pc == 'do_loop':
            return bool(state[0][self.eventfd])
        return super().enabled(state, k)

    def is_waiting(self, state, k):
        return state[2][k][0] in ('asleep', 'do_loop')


if __name__ == '__main__':
    sys.exit(wait.main(Bridge, SCENARIOS, RULES))
