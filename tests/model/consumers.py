#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
"""The consumers' side of a ring with stamps: freeing by position and by stamp, batches released in
part, detach with messages in hand, repair and redelivery, beside what side.py has. See explore.py
for what is explored, and how memory behaves.

A stamp is (state, position, tag). A biased consumer writes no stamps: it stores done, in its own
page, below which everything is released. Consumers that claim by CAS store FREE(q + slots). What a
consumer is left with when it dies or detaches becomes ORPH(q), and REDO(q, tag) when one takes it
again by CAS of the stamp; the tag names the taker. What is checked, beside one producer that goes
round the slots and leaves tombstones at some positions:
    nobody is shown a slot that the producer has written over, or that another live port holds
    nothing is delivered twice but flagged, and nothing again that was released
    in the end everything was delivered and released
    whatever happens, it can go on

What a process does: A attach, Ln take batches of up to n and release one by one until all is done,
D detach, at any moment of the Ln before it. Hand-back happens by itself, or does not. Processes
come one after the other; one whose page is never free need not come.

usage: consumers.py [SCENARIO [RULE]]      RULE is left out, and ought to be caught
"""
import sys
import side
from explore import Broken, put
from side import INDEX, LIVE, NOBODY, NOT, NOTHING, OWN, SHARED, TRY, WORD, Scenario

FREE, FULL, TOMB, ORPH, REDO = range(5)

SCENARIOS = {
    'pair': Scenario('A L1', 'A L1', deaths=2),
    'batch': Scenario('A L2', 'A L2'),
    'tomb': Scenario('A L2', 'A L1', tombs=(1,)),
    'tombs': Scenario('A L2', 'A L2', tombs=(0, 2), messages=4),
    'wrap': Scenario('A L1', 'A L1', slots=1),
    'back': Scenario('A L1', 'A L1 D', deaths=0),
    'leave': Scenario('A L2 D', 'A L2'),
    'successor': Scenario('A L1', 'A L1', pages=[0, 0]),
    'follow': Scenario('A L2 D', 'A L2', pages=[0, 0]),
    'reuse': Scenario('A L1', 'A L1 D', 'A L1', pages=[0, 1, 0], messages=2, deaths=2),
    'reuse-wrap': Scenario('A L1', 'A L1 D', 'A L1', pages=[0, 1, 1], slots=1, messages=2),
    'reuse-leave': Scenario('A L1 D', 'A L1 D', 'A L1', pages=[0, 1, 0], slots=1, messages=2),
    'repairers': Scenario('A L1', 'A L1', 'A L1', pages=[0, 0, 0], messages=2, deaths=2,
                          repairers=2),
    'early': Scenario('A L2', 'A L2', early=True, deaths=2),
    'early-reuse': Scenario('A L1 D', 'A L1', 'A L1', pages=[0, 1, 0], slots=1, deaths=2,
                            early=True),
    'early-next': Scenario('A L1', 'A L1', pages=[0, 0], early=True),
}

WHERE = {
    'barrier': 'back', 'wait': 'back', 'everyone': 'reuse-wrap', 'attach-raise': 'back',
    'old-raise': 'back', 'announce': 'back', 'look': 'back', 'sole-raise': 'early',
    'back-live': 'back', 'back-again': 'reuse-wrap', 'back-lock': 'reuse-wrap',
    'old-word': 'reuse-leave', 'leave-raise': 'follow', 'decided': 'back', 'ask': 'wrap',
    'repair-raise': 'successor', 'compare': 'wrap',
}
RULES = {name: (WHERE.get(name, 'pair'), text) for name, text in side.RULES.items()}
RULES.update({
    'sole-clean': ('successor', 'first attach: biased only if nothing below is unreleased'),
    'back-clean': ('successor', 'hand-back: only if nothing below is unreleased'),
    'keep-done': ('successor', 'attach: done of a page that was used before stays as it is'),
    'leave-orphans': ('follow', 'detach: what is in hand becomes orphans'),
    'orphans-first': ('reuse-leave', 'detach: orphans are made before the word becomes IDLE'),
    'cover': ('wrap', 'repair: leave alone what a live OWN covers'),
    'done': ('successor', 'repair: leave alone what is below done'),
    'done-last': ('wrap', 'repair: done is read after the words'),
    'tombs': ('tomb', 'repair: free the tombstones that the dead one held'),
    'again': ('reuse-wrap', 'repair: what was delivered again becomes an orphan again'),
    'tag': ('reuse-wrap', 'redelivery: the stamp names the port'),
    'generation': ('repairers', 'redelivery: the stamp names the generation'),
    'tag-alone': ('reuse-wrap', 'redelivery: whose a REDO is says its stamp, not the words'),
})


class Consumers(side.Side):
    def __init__(self, sc, without=''):
        pages = max(sc.pages) + 1
        self.done_words = WORD + pages
        self.stamps = self.done_words + pages
        # rest: the producer's position, whether the slot there is being written, what was shown.
        super().__init__(sc, without, (0, 0, NOBODY) + (NOTHING,) * pages + (0,) * pages +
                         tuple((FREE, i, 0) for i in range(sc.slots)), (0, 0, 0))

    def stamp(self, q):
        return self.stamps + q % self.sc.slots

    def done_to(self, mem):
        return max(mem[self.done_words:self.stamps])

    def released(self, mem, q):
        return q < self.done_to(mem) or mem[self.stamp(q)][1] > q

    def oldest(self, mem):
        return max(0, mem[INDEX] - self.sc.slots)

    def clean(self, mem):
        return all(self.released(mem, q) for q in range(self.oldest(mem), mem[INDEX]))

    def bias_stores(self, p, pos):
        return [(self.done_words + p.page, pos)]

    def fresh_page(self, mem, page):
        return put(mem, self.done_words + page, 0) if self.without == 'keep-done' else mem

    def may_come(self, k, status):
        return NOT not in status[:k] and super().may_come(k, status)

    def holds(self, port, q):
        return port[0] in ('own', 'held', 'own-again', 'held-again') and \
            port[2] <= q < port[2] + port[3]

    def tag(self, k):
        return {'tag': NOBODY, 'generation': self.sc.pages[k]}.get(self.without, k)

    def other_steps(self, state, out):
        """The producer."""
        mem, bufs, ports, status, reps, (pos, writing, shown) = state
        if pos == self.sc.messages:
            return
        if writing:
            m = put(mem, self.stamp(pos), (TOMB if pos in self.sc.tombs else FULL, pos, 0))
            out.append(('publish', (m, bufs, ports, status, reps, (pos + 1, 0, shown))))
        elif mem[self.stamp(pos)] == (FREE, pos, 0) or pos < self.done_to(mem) + self.sc.slots:
            for k, port in enumerate(ports):
                if status[k] == LIVE and self.holds(port, pos - self.sc.slots):
                    raise Broken('%d is written over in the hands of %d' % (pos - self.sc.slots, k))
            out.append(('write', (mem, bufs, ports, status, reps, (pos, 1, shown))))

    def there(self, p, pos, n):
        """How many of the n at pos can be claimed together: messages, or one tombstone."""
        if p.see(self.stamp(pos)) == (TOMB, pos, 0):
            return 1
        i = 0
        while i < n and p.see(self.stamp(pos + i)) == (FULL, pos + i, 0):
            i += 1
        return i

    def show(self, p, flagged):
        """The consumer looks at what it holds."""
        at, writing, shown = p.rest
        for q in range(p.pos, p.pos + p.n):
            if at + writing > q + self.sc.slots:
                raise Broken('%d is shown %d, which is written over' % (p.k, q))
            for j, other in enumerate(p.ports):
                if j != p.k and p.status[j] == LIVE and self.holds(other, q):
                    raise Broken('%d and %d both hold %d' % (j, p.k, q))
            if shown >> q & 1 and not flagged:
                raise Broken('%d is delivered twice, not flagged' % q)
            if self.released(p.mem, q):
                raise Broken('%d is delivered, and was released' % q)
            shown |= 1 << q
        return (at, writing, shown)

    def port_steps(self, p):
        v, pc = self.without, p.pc
        if self.common_steps(p):
            return
        if pc == 'op' and p.op[0] == 'L':
            self.leave(p)
            if p.biased:
                self.begin_biased(p)
            else:
                self.begin(p)
                self.hand_back(p)

        # Biased: TRY; look at shared; OWN.
        elif pc == 'flag-seen':
            p.go('unbias' if p.x else 'own', [] if p.x else [(p.word, (OWN, p.pos, p.n))], x=0)
        elif pc == 'shared' and p.see(SHARED):
            p.go('unbias')
        elif pc == 'shared':
            p.go('own', [(p.word, (OWN, p.pos, p.n))])

        # Shared: TRY; CAS; OWN if it is held for long, or IDLE and again.
        elif pc == 'cas':
            m = p.locked()
            if m['mem'][INDEX] == p.pos:
                m['mem'] = put(m['mem'], INDEX, p.pos + p.n)
                p.go('own', [(p.word, (OWN, p.pos, p.n))], **m)
                p.go('own', **m)
            else:
                p.go('op', [(p.word, NOTHING)], pos=0, n=0, **m)

        elif pc == 'own' and p.see(self.stamp(p.pos))[0] == TOMB:
            p.go('pass')
        elif pc == 'own':
            p.go('held', rest=self.show(p, False))
        elif pc in ('held', 'pass'):
            if pc == 'held':
                self.leave(p)
            self.release(p)

        # Redelivery: the stamp alone says to whom.
        elif pc == 'again':
            m = p.locked()
            if m['mem'][self.stamp(p.pos)] == (ORPH, p.pos, 0):
                m['mem'] = put(m['mem'], self.stamp(p.pos), (REDO, p.pos, self.tag(p.k)))
                p.go('own-again', [(p.word, (OWN, p.pos, 1))] if v == 'tag-alone' else [], **m)
            else:
                p.go('op', [(p.word, NOTHING)] if v == 'tag-alone' else [], pos=0, n=0, **m)
        elif pc == 'own-again':
            p.go('held-again', rest=self.show(p, True))
        elif pc == 'held-again':
            self.leave(p)
            self.release(p)

    def begin_biased(self, p):
        n = self.there(p, p.pos, int(p.op[1]))
        if n and self.without == 'announce':
            p.go('flag-seen', n=n, x=p.see(SHARED))
        elif n:
            p.go('shared', [(p.word, (TRY, p.pos, n))], n=n)
        elif self.without != 'look' and p.see(SHARED):
            p.go('unbias')

    def begin(self, p):
        pos = p.see(INDEX)
        n = self.there(p, pos, int(p.op[1]))
        if n:
            p.go('cas', [(p.word, (TRY, pos, n))], pos=pos, n=n)
        for q in range(max(0, pos - self.sc.slots), pos):
            if p.see(self.stamp(q)) == (ORPH, q, 0):
                p.go('again', [(p.word, (TRY, q, 1))] if self.without == 'tag-alone' else [],
                     pos=q, n=1)

    def release(self, p):
        """One of what is in hand: as it was claimed, by position or by stamp."""
        if p.biased:
            store = (self.done_words + p.page, p.pos + 1)
        else:
            store = (self.stamp(p.pos), (FREE, p.pos + self.sc.slots, 0))
        if p.n > 1:
            p.go(p.pc, [store], pos=p.pos + 1, n=p.n - 1)
        else:
            p.go('op', [store], pos=p.pos + 1 if p.biased else 0, n=0)

    def leave(self, p):
        if p.script[-1] != 'D':
            return
        v = self.without
        m = p.raised(p.pos + p.n if p.biased and v != 'leave-raise' else 0)
        orphans = [(self.stamp(p.pos + i), (ORPH, p.pos + i, 0)) for i in range(p.n)
                   if v != 'leave-orphans']
        idle = [(p.word, NOTHING)]
        p.go('leave', idle + orphans if v == 'orphans-first' else orphans + idle, n=0, **m)

    # Repair: what is not released, below done or covered by a live word; a REDO of the dead one.
    def unsettled(self, mem, q, dead):
        state, pos, tag = mem[self.stamp(q)]
        if state == REDO:
            mine = self.without == 'tag-alone' or tag == self.tag(dead)
            return pos == q and mine and self.without != 'again'
        return pos == q and (state == FULL or state == TOMB and self.without != 'tombs')

    def asks(self, mem, q):
        return mem[self.stamp(q)][0] != REDO or self.without == 'tag-alone'

    def early_look(self, mem):
        return self.done_to(mem) if self.without == 'done-last' else 0

    def settled(self, mem, old, y):
        if old[0] == REDO or self.without == 'done':
            return False
        return old[1] < (y if self.without == 'done-last' else self.done_to(mem))

    def repaired(self, q, old):
        return (FREE, q + self.sc.slots, 0) if old[0] == TOMB else (ORPH, q, 0)

    def done(self, state):
        return self.at_rest(state) and state[5][0] == self.sc.messages and \
            all(self.released(state[0], q) for q in range(self.sc.messages))

    def check(self, state):
        for q in range(self.sc.messages):
            if q not in self.sc.tombs and not state[5][2] >> q & 1:
                raise Broken('%d was never delivered' % q)

    def hopeless(self, state):
        return not any(s == NOT or s == LIVE and p[0] != 'leave'
                       for s, p in zip(state[3], state[2]))


if __name__ == '__main__':
    sys.exit(side.main(Consumers, SCENARIOS, RULES))
