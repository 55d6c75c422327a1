# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
"""What the ports of one side of a ring do alike, producers or consumers: claim words, attach, bias,
hand-back, detach, death, and the part of repair that decides whose a slot is.

A port tells what it is about to claim in its word, before it claims:

    TRY(pos, n)    about to; has perhaps done so, and may be done with it
    OWN(pos, n)    has; goes on from pos + n
    BACK(pos, n)   owns it and is giving it back: a biased producer that aborts
    IDLE           none of this, and the port claims by CAS of the side's index

While a port is the only one of its side it is biased: the word is its position, and it claims
without a locked instruction, by TRY, a look at the side's word shared, and OWN. The index in memory
is stale then. Who attaches beside it sets shared, makes a heavy barrier, waits while the word
is open, which is BACK, and TRY unless the index is beyond it, and raises the index to where the
word ends; so does the old port when it sees shared, as the other may have died in between. From
then on both claim by CAS. Who does that says OWN only of what it holds for long. An index is only
ever raised.

A state is (memory, buffers, ports, status, repairers, rest): buffers, ports and status by process,
rest is the model's own. A port is (pc, operation, position, n, x, biased, fresh).
"""
import sys
import time
from explore import Broken, explore, heavy_barrier, load, prefixes, put

IDLE, TRY, OWN, BACK = range(4)
NOTHING = (IDLE, 0, 0)

SHARED, INDEX, LOCK, WORD = 0, 1, 2, 3
NOBODY = -1
BUFFER = 5          # stores that a buffer holds

# What is known of a process. A dead one looks alive until its death is certified, and its bit of
# the live map is cleared after its repair or, where a scenario says early, before.
NOT, LIVE, DEAD, CERTIFIED, REPAIRED, LEFT = range(6)
AT_REST = ('op', 0, 0, 0, 0, 0, 0)

# Rules of both sides; each model adds its own. Each is left out in a scenario that catches it.
RULES = {
    'barrier': 'attach: a heavy barrier between shared = 1 and reading the words',
    'wait': 'attach: wait while a word says TRY',
    'decided': 'attach: do not wait for a TRY that the index is beyond',
    'everyone': 'attach: all of it, though shared is 1 already',
    'attach-raise': 'attach: raise the index to the ends of the words',
    'old-raise': 'unbias: the old port, too, raises the index',
    'announce': 'biased claim: TRY before the look at shared',
    'look': 'biased claim: look at shared also when there is no room, or nothing to take',
    'sole-raise': 'first attach: raise the index to the ends of the words of the dead',
    'back-live': 'hand-back: only by the one live port',
    'back-again': 'hand-back: look who is live after the lock was taken',
    'back-lock': 'hand-back: under the attach lock',
    'old-word': 'attach: a page\'s old word is gone before the new owner counts as live',
    'leave-raise': 'detach: a biased port raises the index',
    'ask': 'repair: leave alone what a live TRY covers, look again later',
    'repair-raise': 'repair: raise the index to the end of the dead word',
    'compare': 'repair: change a stamp only by CAS from what it was',
}


def end(word):
    """Everything below is claimed, says a word whose owner is not in TRY or BACK, or dead."""
    if word[0] in (OWN, BACK):
        return word[1] + word[2]
    return word[1] if word[0] == TRY else 0


def is_open(word, index, decided=True):
    """Its owner may still take or give back something without another look."""
    return word[0] == BACK or word[0] == TRY and (word[1] >= index or not decided)


def covers(word, pos):
    return word[0] != IDLE and word[1] <= pos < word[1] + word[2]


class Scenario:
    """What each process does, on which port page, and what may happen to them."""

    def __init__(self, *scripts, pages=None, deaths=1, early=False, repairers=1, close=False,
                 slots=2, messages=3, tombs=()):
        self.scripts = [s.split() for s in scripts]
        self.pages = pages or list(range(len(scripts)))
        self.deaths = deaths            # at most so many
        self.early = early              # the live bit is cleared before the repair
        self.repairers = repairers
        # Producers only: somebody may close the ring, and a consumer reads to the end of file.
        self.close = close
        # Consumers only: what there is to consume, and where there is a tombstone instead.
        self.slots = slots
        self.messages = messages
        self.tombs = tombs


class Port:
    """A process in a state: what its next step can see, and the states that it leads to."""

    def __init__(self, side, state, k, out):
        self.mem, self.bufs, self.ports, self.status, self.reps, self.rest = state
        self.pc, self.ip, self.pos, self.n, self.x, self.biased, self.fresh = self.ports[k]
        self.side, self.k, self.out = side, k, out
        self.buf = self.bufs[k]
        self.script = side.sc.scripts[k]
        self.op = self.script[self.ip] if self.ip < len(self.script) else 'end'
        self.page = side.sc.pages[k]
        self.word = WORD + self.page

    def emit(self, label, mem=None, bufs=None, ports=None, status=None, rest=None):
        self.out.append(('%s.%d' % (label, self.k),
                         (self.mem if mem is None else mem, self.bufs if bufs is None else bufs,
                          self.ports if ports is None else ports,
                          self.status if status is None else status, self.reps,
                          self.rest if rest is None else rest)))

    def go(self, pc, stores=(), ip=None, pos=None, n=None, x=None, biased=None, bufs=None, **new):
        buf = (self.buf if bufs is None else bufs[self.k]) + tuple(stores)
        if len(buf) > BUFFER:
            return
        port = (pc, self.ip if ip is None else ip, self.pos if pos is None else pos,
                self.n if n is None else n, self.x if x is None else x,
                self.biased if biased is None else biased, len(stores))
        self.emit(self.pc, bufs=put(self.bufs if bufs is None else bufs, self.k, buf),
                  ports=put(self.ports, self.k, port), **new)

    def next_op(self, stores=(), **new):
        self.go('op', stores, ip=self.ip + 1, n=0, x=0, **new)

    def see(self, addr):
        return load(self.mem, self.buf, addr)

    def locked(self):
        """What a locked instruction or a system call begins from: the buffer is empty."""
        m = self.mem
        for a, value in self.buf:
            m = self.side.store(m, a, value, self.rest)
        return {'mem': m, 'bufs': put(self.bufs, self.k, ())}

    def unlock(self, **new):
        new['mem'] = put(new['mem'], LOCK, NOBODY)
        return new

    def raised(self, to):
        """The index at least at to; by CAS, if it is below."""
        if self.see(INDEX) >= to:
            return {'mem': self.mem, 'bufs': self.bufs}
        m = self.locked()
        m['mem'] = put(m['mem'], INDEX, max(m['mem'][INDEX], to))
        return m

    def others_live(self):
        return any(self.side.looks_live(s) for j, s in enumerate(self.status) if j != self.k)


class Side:
    """A model; the subclasses say what is claimed, published, freed and repaired."""

    def __init__(self, sc, without, mem, rest):
        self.sc = sc
        self.without = without
        n = len(sc.scripts)
        self.first = (mem, ((),) * n, (AT_REST,) * n, (NOT,) * n,
                      (('pick', 0, 0, 0, 0, 0, 0),) * sc.repairers, rest)

    def looks_live(self, status):
        return status in (LIVE, DEAD) or status == CERTIFIED and not self.sc.early

    def page_looks_live(self, status, page):
        return any(self.looks_live(s) for s, p in zip(status, self.sc.pages) if p == page)

    def words(self, mem):
        return mem[WORD:WORD + self.pages]

    @property
    def pages(self):
        return max(self.sc.pages) + 1

    def ends(self, mem):
        return max(end(w) for w in self.words(mem))

    def store(self, mem, addr, value, rest):
        return put(mem, addr, value)

    def clean(self, mem):
        """Nothing is in the way of bias."""
        return True

    def bias_stores(self, p, pos):
        return []

    def fresh_page(self, mem, page):
        return mem

    def may_come(self, k, status):
        """Its page is free, and what the page's old word said is in the index."""
        return all(s in (NOT, REPAIRED, LEFT) for j, s in enumerate(status)
                   if self.sc.pages[j] == self.sc.pages[k])

    def steps(self, state):
        out = []
        self.other_steps(state, out)
        for k, s in enumerate(state[3]):
            p = Port(self, state, k, out)
            if s == NOT and self.may_come(k, state[3]):
                m = p.mem if self.without == 'old-word' else put(p.mem, p.word, NOTHING)
                p.emit('come', mem=self.fresh_page(m, p.page), status=put(p.status, k, LIVE))
            elif s == LIVE:
                self.buffer_steps(p)
                self.death_steps(p)
                self.port_steps(p)
        for r in range(self.sc.repairers):
            self.repair_steps(state, r, out)
        return out

    def buffer_steps(self, p):
        if p.buf:
            ports = p.ports
            if p.fresh == len(p.buf):
                ports = put(ports, p.k, ports[p.k][:6] + (p.fresh - 1,))
            p.emit('drain', mem=self.store(p.mem, *p.buf[0], p.rest),
                   bufs=put(p.bufs, p.k, p.buf[1:]), ports=ports)

    def death_steps(self, p):
        if sum(s in (DEAD, CERTIFIED, REPAIRED) for s in p.status) >= self.sc.deaths:
            return
        for m, _ in prefixes(p.mem, p.buf, p.fresh, lambda *s: self.store(*s, p.rest)):
            if m[LOCK] == p.k:
                m = put(m, LOCK, NOBODY)
            p.emit('die', mem=m, bufs=put(p.bufs, p.k, ()), ports=put(p.ports, p.k, AT_REST),
                   status=put(p.status, p.k, DEAD))

    def common_steps(self, p):
        """Returns whether the step was one of these."""
        v, pc = self.without, p.pc
        if pc == 'op' and p.op in ('A', 'a'):
            if p.mem[LOCK] == NOBODY:
                m = p.locked()
                m['mem'] = put(m['mem'], LOCK, p.k)
                p.go('attach', **m)
        elif pc == 'attach':
            if p.others_live():
                p.go('ready' if v == 'everyone' and p.see(SHARED) else 'barrier', [(SHARED, 1)])
            else:
                m = p.raised(0 if v == 'sole-raise' else self.ends(p.mem))
                at = m['mem'][INDEX]
                if v == 'sole-clean' or self.clean(m['mem']):
                    p.go('ready', [(p.word, (OWN, at, 0))] + self.bias_stores(p, at) +
                         [(SHARED, 0)], pos=at, biased=1, **m)
                else:
                    p.go('ready', [(SHARED, 1)], **m)
        elif pc == 'barrier':
            self.barrier(p)
        elif pc == 'words':
            self.read_words(p)
        elif pc == 'ready':
            p.next_op(**p.unlock(**p.locked()))
        elif pc == 'unbias' and v == 'raise-first':
            p.go('late', [(p.word, NOTHING)])
        elif pc == 'unbias':
            m = p.raised(0 if v == 'old-raise' else p.pos)
            p.go('op', [(p.word, NOTHING)], pos=0, n=0, biased=0, **m)
        elif pc == 'late':
            p.go('op', pos=0, n=0, biased=0, **p.raised(p.pos))
        elif pc == 'looked' and p.mem[LOCK] == NOBODY:
            m = p.locked()
            m['mem'] = put(m['mem'], LOCK, p.k)
            p.go('back', **m)
        elif pc == 'back':
            if (v in ('back-live', 'back-again') or not p.others_live()) and \
                    (v == 'back-clean' or self.clean(p.mem)):
                at = p.see(INDEX)
                p.go('back-done', [(p.word, (OWN, at, 0))] + self.bias_stores(p, at) +
                     [(SHARED, 0)], pos=at, biased=1)
            else:
                p.go('back-done')
        elif pc == 'back-done':
            m = p.locked()
            p.go('op', **(m if v == 'back-lock' else p.unlock(**m)))
        elif pc == 'leave':
            p.next_op(pos=0, biased=0, status=put(p.status, p.k, LEFT), **p.locked())
        else:
            return False
        return True

    def hand_back(self, p):
        """Of a port that claims by CAS and holds nothing: the only live one, if it looks so."""
        if p.see(SHARED) and (self.without == 'back-lock' or p.mem[LOCK] == NOBODY) and \
                (self.without == 'back-live' or not p.others_live()):
            if self.without == 'back-again':
                p.go('looked')
                return
            m = p.locked()
            if self.without != 'back-lock':
                m['mem'] = put(m['mem'], LOCK, p.k)
            p.go('back', **m)

    def barrier(self, p):
        if self.without == 'barrier':
            p.go('words', n=0, x=0)
            return
        fresh = [0 if j == p.k else q[6] for j, q in enumerate(p.ports)]
        for m, bufs in heavy_barrier(p.mem, p.bufs, fresh, lambda *s: self.store(*s, p.rest)):
            ports = tuple(q[:6] + (len(b),) for q, b in zip(p.ports, bufs))
            p.emit('barrier', mem=m, bufs=bufs,
                   ports=put(ports, p.k, ('words', p.ip, 0, 0, 0, 0, 0)))

    def read_words(self, p):
        """Of page n; x is the end of those before."""
        v = self.without
        if p.n == self.pages:
            p.go('ready', n=0, x=0, **p.raised(0 if v == 'attach-raise' else p.x))
            return
        w = p.see(WORD + p.n)
        if p.n == p.page:
            p.go('words', n=p.n + 1)
        elif not self.page_looks_live(p.status, p.n) or \
                not is_open(w, p.see(INDEX), v != 'decided') or \
                w[0] == TRY and v == 'wait' or w[0] == BACK and v == 'wait-back':
            p.go('words', n=p.n + 1, x=max(p.x, end(w)))
        elif p.op == 'a':
            stores = [(SHARED, 0)] if v == 'give-up' else []
            p.go('op', stores, ip=len(p.script), n=0, x=0, status=put(p.status, p.k, LEFT),
                 **p.unlock(**p.locked()))

    def repair_steps(self, state, r, out):
        """A repairer: of process dead, looking at position q below x; old is the stamp it saw."""
        mem, bufs, ports, status, reps, rest = state
        pc, dead, q, i, x, old, y = reps[r]
        v = self.without

        def go(pc, dead=dead, q=q, i=i, x=x, old=old, y=y, mem=mem, status=status):
            out.append(('%s.repair%d' % (reps[r][0], r),
                        (mem, bufs, ports, status, put(reps, r, (pc, dead, q, i, x, old, y)),
                         rest)))

        if pc == 'pick':
            for j, s in enumerate(status):
                if s in (DEAD, CERTIFIED):
                    go('word', j, status=put(status, j, CERTIFIED))
        elif pc == 'word':
            # It is the dead one's word only if the page still is, once it has been read.
            e = end(mem[WORD + self.sc.pages[dead]])
            if status[dead] == CERTIFIED or v == 'check-again':
                go('raise', x=e)
            else:
                go('pick', 0)
        elif pc == 'raise':
            m = mem if v == 'repair-raise' else put(mem, INDEX, max(mem[INDEX], x))
            go('look', x=m[INDEX], q=self.oldest(m), mem=m)
        elif pc == 'look':
            while q < x and not self.unsettled(mem, q, dead):
                q += 1
            if q < x:
                go('covered' if self.asks(mem, q) else 'cas', q=q, i=0, old=mem[self.stamp(q)],
                   y=self.early_look(mem))
            else:
                s = put(status, dead, REPAIRED) if status[dead] == CERTIFIED else status
                go('pick', 0, 0, 0, 0, 0, 0, status=s)
        elif pc == 'covered':
            if i == self.pages:
                go('look' if self.settled(mem, old, y) else 'cas',
                   q=q + 1 if self.settled(mem, old, y) else q, i=0)
                return
            w = mem[WORD + i]
            owner = [j for j, s in enumerate(status)
                     if s in (LIVE, DEAD) and self.sc.pages[j] == i]
            if not owner or not covers(w, q) or v == 'cover' or v == 'ask' and w[0] == TRY:
                go('covered', i=i + 1)
            elif w[0] == OWN:
                go('look', q=q + 1, i=0, old=0, y=0)
            else:
                # Again later; if the owner is dead, that will have been certified.
                go('look', i=0, old=0, y=0,
                   status=put(status, owner[0], CERTIFIED) if status[owner[0]] == DEAD else status)
        elif pc == 'cas':
            m = mem
            if v == 'compare' or m[self.stamp(q)] == old:
                self.robbed(state, q)
                m = self.store(m, self.stamp(q), self.repaired(q, old), rest)
            go('look', q=q + 1, old=0, y=0, mem=m)

    def robbed(self, state, q):
        for k, port in enumerate(state[2]):
            if state[3][k] == LIVE and self.holds(port, q):
                raise Broken('repair takes %d out of the hands of %d' % (q, k))

    def early_look(self, mem):
        return 0

    def settled(self, mem, old, y):
        return False

    def asks(self, mem, q):
        return True

    def at_rest(self, state):
        """Nothing is under way."""
        mem, bufs, ports, status, reps, rest = state
        return not any(bufs) and mem[LOCK] == NOBODY and \
            not any(s in (DEAD, CERTIFIED) for s in status) and \
            all(r[0] == 'pick' for r in reps) and \
            all(p[0] == 'op' for s, p in zip(status, ports) if s == LIVE)

    def hopeless(self, state):
        return False


def run(side, scenario, rule):
    """Returns the number of states, what was violated or None, and the path."""
    return explore(side(scenario, rule))


def main(side, scenarios, rules):
    if len(sys.argv) < 2:
        print('scenarios: ' + ' '.join(scenarios))
        for name, (where, text) in rules.items():
            print('%-14s %-10s %s' % (name, where, text))
        return 0
    rule = sys.argv[2] if len(sys.argv) > 2 else ''
    if sys.argv[1] not in scenarios or rule and rule not in rules:
        print('no such scenario or rule', file=sys.stderr)
        return 2
    begin = time.process_time()
    states, bad, path = run(side, scenarios[sys.argv[1]], rule)
    print('%s, %s: %d states, %s, %.1f s' %
          (sys.argv[1], 'without ' + rule if rule else 'all rules', states, bad or 'no violation',
           time.process_time() - begin))
    if path:
        print('    ' + ' '.join(path))
    return 1 if bad else 0
