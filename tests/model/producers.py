#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
"""The producers' side of a ring with stamps: batches, abort, close and the end of file, beside what
side.py has. See explore.py for what is explored, and how memory behaves.

Slots are not reused: position q has the stamp q, 0 as long as it is free. What is checked:
    no slot has two owners, no stamp is stored twice
    whatever is published lies below the effective index, max(index, ends of the words)
    in the end there is no hole below it, each producer's messages are there in order and
    without a gap, and those of a live one all unless it was refused because the ring is closed
    once a consumer was told of the end of file nothing is published, and all before was read
    whatever happens, it can go on

What a process does: A attach, a attach or give up waiting, Sn send a batch of n, Gn the same but
give up if somebody else claims first, Pnk reserve n and commit k of them, aborting the rest,
D detach. Hand-back happens by itself, or does not. Of two processes on one page the second can
attach when the first has left or has been repaired; it need not.

usage: producers.py [SCENARIO [RULE]]      RULE is left out, and ought to be caught
"""
import sys
import side
from explore import Broken, heavy_barrier, put
from side import BACK, INDEX, LEFT, LIVE, NOBODY, NOT, NOTHING, OWN, REPAIRED, SHARED, TRY, \
    WORD, Scenario, end, is_open

TOMB = 'tomb'

SCENARIOS = {
    'pair': Scenario('A S1 S1', 'A S1 S1', deaths=2),
    'batch': Scenario('A S2 S1', 'A S2'),
    'give-up': Scenario('A S1 S1', 'A S1 G1'),
    'abort': Scenario('A P21 S1', 'A P21'),
    'abort-all': Scenario('A P20 P20 S1', 'A S1'),
    'abort-late': Scenario('A S1 P21', 'A S1 D'),
    'leave': Scenario('A S1 S1 D', 'A S1 D'),
    'back': Scenario('A S1 S1 S1', 'A S1 D'),
    'successor': Scenario('A S1 S1', 'A S1 S1', pages=[0, 0], deaths=2),
    'reuse': Scenario('A S1 S1', 'A S1', 'A S1', pages=[0, 1, 0], deaths=2),
    'reuse-abort': Scenario('A P21', 'A P21', 'A P21', pages=[0, 1, 0]),
    'repairers': Scenario('A S1 S1', 'A P21 S1', pages=[0, 0], repairers=2),
    'impatient': Scenario('A S1 S1', 'a S1', 'A S1', pages=[0, 1, 1]),
    'leave-abort': Scenario('A P21 D', 'A S1 D', 'A S1', pages=[0, 1, 0], deaths=2, early=True),
    'three': Scenario('A S1', 'A S1', 'A'),
    'close': Scenario('A S1 S1', 'A S1', close=True, deaths=0),
    'close-abort': Scenario('A P21', 'A S1', close=True),
    'close-leave': Scenario('A S1 D', 'A S1', close=True),
    'early': Scenario('A P21 S1', 'A P21 D', deaths=2, early=True),
    'early-reuse': Scenario('A S1 S1', 'A S1', 'A S1', pages=[0, 1, 0], deaths=2, early=True),
    'early-close': Scenario('A P21', 'A S1', close=True, early=True),
}

WHERE = {
    'decided': 'three', 'everyone': 'impatient', 'sole-raise': 'early', 'back-again': 'reuse-abort',
    'back-lock': 'reuse-abort', 'old-word': 'reuse-abort', 'leave-raise': 'leave',
    'repair-raise': 'successor', 'compare': 'repairers',
}
RULES = {name: (WHERE.get(name, 'pair'), text) for name, text in side.RULES.items()}
RULES.update({
    'raise-first': ('close', 'unbias: raise the index before the word becomes IDLE'),
    'give-up': ('impatient', 'attach: who gives up waiting leaves shared as it is'),
    'back': ('abort', 'abort: a roll-back is announced by BACK(p, n), not TRY(p, n)'),
    'wait-back': ('abort', 'attach: wait while a word says BACK'),
    'back-covers': ('abort-all', 'abort: what announces a roll-back covers the slots'),
    'back-look': ('abort', 'abort: look at shared before the roll-back'),
    'back-first': ('abort', 'abort: announce a roll-back before the look at shared'),
    'never-down': ('abort', 'abort: who claimed by CAS leaves tombstones'),
    'idle': ('give-up', 'CAS claim: IDLE after a failed one'),
    'check-again': ('repairers', 'repair: whose the page is, looked at after its word was read'),
    'try-closed': ('close', 'claim: TRY before the look at CLOSED'),
    'end-barrier': ('close', 'end of file: a heavy barrier after CLOSED was seen'),
    'end-wait': ('close', 'end of file: not while a live word says TRY'),
    'end-decided': ('close', 'end of file: also beside a TRY that the index is beyond'),
    'end-index': ('close', 'end of file: the index is read after the words'),
    'end-words': ('close', 'end of file: the words count, not the index alone'),
})


class Producers(side.Side):
    def __init__(self, sc, without=''):
        pages = max(sc.pages) + 1
        self.closed = WORD + pages
        self.stamps = self.closed + 1
        self.slots = sum(int(op[1]) for s in sc.scripts for op in s if op[0] in 'SGP')
        # The number of a process's first message in each operation, and of all its messages.
        self.numbers = []
        for s in sc.scripts:
            n = [0]
            for op in s:
                n.append(n[-1] + (int(op[-1]) if op[0] in 'SGP' else 0))
            self.numbers.append(n)
        # rest: the consumer's pc, position, page and end so far, and where it was told of the end.
        super().__init__(sc, without, (0, 0, NOBODY) + (NOTHING,) * pages + (0,) +
                         (0,) * self.slots, ('read', 0, 0, 0, NOBODY))

    def stamp(self, q):
        return self.stamps + q

    def store(self, mem, addr, value, rest):
        if addr >= self.stamps:
            q = addr - self.stamps
            if mem[addr]:
                raise Broken('the stamp of %d is stored twice' % q)
            if q >= max(mem[INDEX], self.ends(mem)):
                raise Broken('%d is published and lies above the index' % q)
            if NOBODY != rest[4] <= q:
                raise Broken('%d is published after the end of file' % q)
        return put(mem, addr, value)

    def holds(self, port, q):
        return port[0] in ('own', 'roll') and port[2] <= q < port[2] + port[3]

    def free(self, p, pos, n):
        return not any(p.see(self.stamp(q)) for q in range(pos, pos + n))

    def claimed(self, p):
        for q in range(p.pos, p.pos + p.n):
            if p.mem[self.stamp(q)]:
                raise Broken('%d claims %d, which is not free' % (p.k, q))
            for j, other in enumerate(p.ports):
                if j != p.k and p.status[j] == LIVE and self.holds(other, q):
                    raise Broken('%d and %d both own %d' % (j, p.k, q))

    def port_steps(self, p):
        v, pc = self.without, p.pc
        if self.common_steps(p):
            return
        if pc == 'op':
            if not p.biased:
                self.hand_back(p)
            if p.op == 'D':
                m = p.raised(p.pos if p.biased and v != 'leave-raise' else 0)
                p.go('leave', [(p.word, NOTHING)], **m)
            elif p.op != 'end' and p.biased:
                self.begin(p, p.pos)
            elif p.op != 'end':
                self.begin(p, p.see(INDEX))

        # Biased: TRY; look at shared, at CLOSED; OWN.
        elif pc == 'no-room':
            p.go('unbias' if p.see(SHARED) else 'op', n=0)
        elif pc == 'flag-seen':
            p.go('unbias' if p.x else 'closed', [] if p.x else [(p.word, (TRY, p.pos, p.n))], x=0)
        elif pc == 'shared':
            p.go('unbias' if p.see(SHARED) else 'closed')
        elif pc == 'closed':
            if p.see(self.closed):
                p.next_op([(p.word, (OWN, p.pos, 0))])
            else:
                p.go('own', [(p.word, (OWN, p.pos, p.n))])

        # Shared: TRY; look at CLOSED; CAS; OWN if it is held, or IDLE and again.
        elif pc == 'cas-closed':
            if p.see(self.closed):
                p.next_op([(p.word, NOTHING)], pos=0)
            else:
                p.go('cas')
        elif pc == 'cas':
            self.cas(p)

        elif pc == 'closed-seen':
            if p.x:
                p.next_op(pos=p.pos if p.biased else 0)
            else:
                p.go('late-shared' if p.biased else 'cas', [(p.word, (TRY, p.pos, p.n))], x=0)
        elif pc == 'late-shared':
            if p.see(SHARED):
                p.go('unbias')
            else:
                p.go('own', [(p.word, (OWN, p.pos, p.n))])

        elif pc == 'own':
            self.claimed(p)
            self.publish(p)
        elif pc == 'roll' and p.see(SHARED):
            p.next_op([(p.word, (OWN, p.pos, p.n))] +
                      [(self.stamp(p.pos + i), TOMB) for i in range(p.n)], pos=p.pos + p.n)
        elif pc == 'roll':
            p.next_op([(p.word, (OWN, p.pos, 0))])

    def begin(self, p, pos):
        """Announce a claim at pos, if there is room."""
        v, n = self.without, int(p.op[1])
        if pos + n > self.slots or not self.free(p, pos, n):
            # Not biased: the index is behind, or others have claimed meanwhile.
            if p.biased and v != 'look':
                p.go('no-room')
        elif v == 'announce' and p.biased:
            p.go('flag-seen', x=p.see(SHARED), n=n)
        elif v == 'try-closed':
            p.go('closed-seen', x=p.see(self.closed), pos=pos, n=n)
        else:
            p.go('shared' if p.biased else 'cas-closed', [(p.word, (TRY, pos, n))], pos=pos, n=n)

    def cas(self, p):
        m = p.locked()
        if m['mem'][INDEX] == p.pos:
            m['mem'] = put(m['mem'], INDEX, p.pos + p.n)
            p.go('own', [(p.word, (OWN, p.pos, p.n))] if p.op[0] == 'P' else [], **m)
            return
        stores = [] if self.without == 'idle' else [(p.word, NOTHING)]
        if p.op[0] == 'G':
            p.next_op(stores, pos=0, **m)
        else:
            p.go('op', stores, pos=0, n=0, **m)

    def publish(self, p):
        v, keep = self.without, int(p.op[-1])
        at, rest = p.pos + keep, p.n - keep
        number = self.numbers[p.k][p.ip]
        stores = [(self.stamp(p.pos + i), (p.k, number + i)) for i in range(keep)]
        if not rest:
            p.next_op(stores, pos=at if p.biased else 0)
        elif not p.biased and v == 'never-down':
            m = p.locked()
            if m['mem'][INDEX] == at + rest:
                m['mem'] = put(m['mem'], INDEX, at)
            p.next_op(stores, pos=0, **m)
        elif not p.biased:
            p.next_op(stores + [(self.stamp(at + i), TOMB) for i in range(rest)], pos=0)
        elif v == 'back-look':
            p.next_op(stores + [(p.word, (OWN, at, 0))], pos=at)
        else:
            word = {'back': (TRY, at, rest), 'back-covers': (TRY, at, 0),
                    'back-first': (OWN, at, 0)}.get(v, (BACK, at, rest))
            p.go('roll', stores + [(p.word, word)], pos=at, n=rest)

    # Repair: a free stamp below the index that no live word covers.
    def oldest(self, mem):
        return 0

    def unsettled(self, mem, q, dead):
        return not mem[self.stamp(q)]

    def repaired(self, q, old):
        return TOMB

    def other_steps(self, state, out):
        """Somebody closes the ring; a consumer reads to the end, and decides that it is the end.
        x is NOBODY once it has made its barrier."""
        if not self.sc.close:
            return
        mem, bufs, ports, status, reps, rest = state
        pc, pos, i, x, told = rest
        v = self.without

        def go(pc, pos=pos, i=i, x=x, told=told, mem=mem, bufs=bufs, ports=ports):
            out.append((rest[0] + '.consumer', (mem, bufs, ports, status, reps,
                                                (pc, pos, i, x, told))))

        if not mem[self.closed]:
            out.append(('close', (put(mem, self.closed, 1), bufs, ports, status, reps, rest)))
        if pc == 'read':
            if pos < self.slots and mem[self.stamp(pos)]:
                go('read', pos + 1)
            elif mem[self.closed] and x != NOBODY and v != 'end-barrier':
                go('barrier')
            elif mem[self.closed]:
                go('words', i=0, x=mem[INDEX] if v == 'end-index' else 0)
        elif pc == 'barrier':
            for m, b in heavy_barrier(mem, bufs, [p[6] for p in ports],
                                      lambda *s: self.store(*s, rest)):
                go('words', i=0, x=m[INDEX] if v == 'end-index' else 0, mem=m, bufs=b,
                   ports=tuple(p[:6] + (len(left),) for p, left in zip(ports, b)))
        elif pc == 'words' and i < self.pages:
            w = mem[WORD + i]
            if is_open(w, mem[INDEX], v != 'end-decided') and v != 'end-wait' and \
                    self.page_looks_live(status, i):
                go('read', i=0, x=NOBODY)
            else:
                go('words', i=i + 1, x=x if v == 'end-words' else max(x, end(w)))
        elif pc == 'words':
            if pos < max(x, 0 if v == 'end-index' else mem[INDEX]):
                go('read', i=0, x=NOBODY)
            elif any(mem[self.stamp(pos):]):
                raise Broken('end of file at %d, and there is more' % pos)
            else:
                go('told', 0, 0, 0, pos)

    def over(self, k, status, port):
        """Nothing is left to do for this process."""
        if status[k] == NOT:
            return any(j != k and p == self.sc.pages[k] and status[j] != NOT
                       for j, p in enumerate(self.sc.pages))
        return status[k] in (REPAIRED, LEFT) or port[1] == len(self.sc.scripts[k])

    def done(self, state):
        return self.at_rest(state) and (not self.sc.close or state[5][4] != NOBODY) and \
            all(self.over(k, state[3], p) for k, p in enumerate(state[2]))

    def check(self, state):
        mem, bufs, ports, status, reps, rest = state
        index = max(mem[INDEX], self.ends(mem))
        for q in range(index):
            if not mem[self.stamp(q)]:
                raise Broken('a hole at %d' % q)
        for k, s in enumerate(self.sc.scripts):
            got = [m[1] for m in mem[self.stamps:] if m and m != TOMB and m[0] == k]
            all_of_them = self.numbers[k][-1]
            if got != list(range(len(got))):
                raise Broken('messages of %d: %r' % (k, got))
            if status[k] in (LIVE, LEFT) and len(got) != all_of_them and not mem[self.closed] and \
                    not any(op[0] in 'Ga' for op in s):
                raise Broken('%d of %d messages of %d' % (len(got), all_of_them, k))


if __name__ == '__main__':
    sys.exit(side.main(Producers, SCENARIOS, RULES))
