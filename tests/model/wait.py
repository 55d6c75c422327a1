# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
"""What the models of sleeping and waking have in common: who publishes, who takes and passes on,
death, and what must never be. See explore.py for what is explored, and how memory behaves.

Positions are published once and taken in order, each by who first changes the index. A step is one
load, one store, one locked instruction, or what is done under the kernel's lock, and a death may
come between any two of them. A heavy barrier reaches one process after the other. What is checked:
    in the end, when nobody can go on, nobody sleeps while what he waits for is there, or the ring
    has ended
    whatever happens, it comes to an end
    where a scenario counts: no more kicks than sleeps and passings-on

A step has the name of the tag that its line has in the sources. suite compares these: no step
without a line, no line without a step. Steps that belong to no tag have names in small letters.

What a process does: pN publish position N, gN do so as one of the consumers, which gives it back,
c close, n attach, rN take N at a time, and sleep until
there are so many, for ever; oN the same, once; tN once, and may give up whenever it sleeps. Each
model adds to it.

A state is (memory, buffers, processes, dead, kernel): dead is what each process's death has come
to, kernel is the model's own. A process is (step, operation, registers, where to return to); the
registers are a group, a port, a count, groups, whether it has slept, and what a loop is for.
"""
import re
import sys
import time
from explore import Broken, explore, put

AWAKE, ASLEEP, KICKED, POLLED = range(4)
ENDED, INDEX, WIDE, EPOCH, WORD, WAKE = range(6)
ALL = 99
TAG = re.compile('[A-Z][0-9][a-z]?$')

LIVE, DEAD, BURIED = range(3)
G, I, N, BITS, SLEPT, MODE = range(6)
CLEAR = (0, 0, 0, 0, 0, 0)

RULES = {
    'barrier': ('pair', 'S2: a heavy barrier between arming and looking'),
    'arm-first': ('pair', 'S1: arm before the look'),
    'publish-first': ('pair', 'P2: look at the attention word after publishing'),
    'fence': ('fenced', 'P3: a ring that is fenced has a full fence after publishing'),
}


class Scenario:
    def __init__(self, *scripts, deaths=0, groups=1, fenced=False, positions=None, count=False,
                 wide=True, fresh=(), asleep=(), there=(), mortal=None):
        self.scripts = [s.split() for s in scripts]
        self.deaths = deaths            # at most so many
        self.groups = groups            # sleepers share so many bits of the attention word
        self.fenced = fenced
        self.positions = positions
        self.count = count
        self.wide = wide                # who needs several says so before he sleeps
        self.fresh = fresh              # processes that attach while others sleep
        self.asleep = asleep            # who sleeps at first
        self.there = there              # what is published at first
        self.mortal = range(len(scripts)) if mortal is None else mortal


class Process:
    """A process in a state: what its next step can see, and the states that it leads to."""

    def __init__(self, model, state, k, out):
        self.mem, self.bufs, self.procs, self.dead, self.kernel = state
        self.pc, self.ip, self.regs, self.ret = self.procs[k]
        self.model, self.k, self.out = model, k, out
        script = model.scripts[k]
        self.op = script[self.ip] if self.ip < len(script) else 'end'

    def see(self, addr):
        for a, value in reversed(self.bufs[self.k]):
            if a == addr:
                return value
        return self.mem[addr]

    def store(self, addr, value):
        self.bufs = put(self.bufs, self.k, self.bufs[self.k] + ((addr, value),))

    def flush(self, k=None):
        k = self.k if k is None else k
        for a, value in self.bufs[k]:
            self.mem = put(self.mem, a, value)
        self.bufs = put(self.bufs, k, ())

    def locked(self, addr, value):
        """A locked instruction, which empties the buffer first; the old value."""
        self.flush()
        old = self.mem[addr]
        self.mem = put(self.mem, addr, value(old))
        return old

    def set(self, reg, value):
        self.regs = put(self.regs, reg, value)

    def wake(self, j, pc):
        self.procs = put(self.procs, j, (pc,) + self.procs[j][1:])

    def go(self, pc):
        if pc in self.model.quiet:
            self.model.steps_of[pc](self)
            return
        procs = put(self.procs, self.k, (pc, self.ip, self.regs, self.ret))
        self.out.append(('%s.%d' % (self.pc, self.k),
                         (self.mem, self.bufs, procs, self.dead, self.kernel)))

    def call(self, pc, back):
        self.ret += (back,)
        self.go(pc)

    def back(self):
        pc = self.ret[-1]
        self.ret = self.ret[:-1]
        self.go(pc)

    def next_op(self, by=1):
        self.ip += by
        self.regs = CLEAR
        self.go('do_op')


class Waits:
    """A model; the subclasses say how to sleep, and how to kick."""
    QUIET = set()
    MORE = ()           # memory of the model's own
    services = ()       # further processes: the name of the first step, whose process it belongs to

    def __init__(self, sc, without='', kernel=()):
        self.sc = sc
        self.without = without
        services = self.services
        self.scripts = sc.scripts + [[]] * len(services)
        self.consumers = [k for k, s in enumerate(sc.scripts) if s[0][0] in 'ortebd']
        self.producers = [k for k in range(len(sc.scripts)) if k not in self.consumers]
        self.all = self.consumers + self.producers
        named = [int(op[1]) for s in sc.scripts for op in s if op[0] in 'pg']
        self.positions = max(named + list(sc.there)) + 1
        self.stamp = WAKE + len(self.scripts)
        self.says_wide = sc.wide and without != 'wide'
        self.steps_of = {name: getattr(self, name) for name in dir(self)
                         if TAG.match(name) or name.startswith('do_')}
        # Steps that nobody else can notice, or disturb, go with the one before.
        self.quiet = {'do_next', 'do_again', 'X1'} | self.QUIET
        if max(self.need(k, i) for k in self.consumers for i in range(len(sc.scripts[k]))) == 1:
            self.quiet |= {'P5', 'X3'}
        # Position -> who publishes it. What nobody publishes any more, repair does.
        self.publisher = {int(op[1]): k for k, s in enumerate(sc.scripts) for op in s
                          if op[0] in 'pg'}
        stamps = tuple(int(q in sc.there) for q in range(self.positions))
        mem = (0,) * self.stamp + stamps + self.MORE
        procs = tuple(('do_op', 0, CLEAR, ()) for s in sc.scripts) + \
            tuple((s, 0, CLEAR, ()) for s in services)
        # The last number: deaths that may come. And the credit for kicks.
        self.first = (mem, ((),) * len(procs), procs,
                      (LIVE,) * len(procs) + (sc.deaths, 0), kernel)

    def begin_asleep(self, k):
        mem, bufs, procs, dead, kernel = self.first
        if self.need(k, 0) > 1 and self.says_wide:
            mem = put(mem, WIDE, 1)
        procs = put(procs, k, (self.ASLEEP, 0, put(CLEAR, SLEPT, 1), ()))
        self.first = (mem, bufs, procs, dead, kernel)

    @classmethod
    def tags(cls):
        return {name for name in dir(cls) if TAG.match(name)}

    # What there is.
    def ready(self, p, need):
        index = p.see(INDEX)
        return index + need <= self.positions and \
            all(p.see(self.stamp + q) for q in range(index, index + need))

    def need(self, k, ip):
        return int(self.sc.scripts[k][ip][1])

    def done_waiting(self, p):
        return self.ended(p) or self.ready(p, int(p.op[1]))

    def ended(self, p):
        return p.see(ENDED)

    def credit(self, p, by):
        """Sleeps and passings-on less kicks."""
        if self.sc.count:
            credit = p.dead[-1] + by
            if credit < 0:
                raise Broken('more kicks than sleeps and passings-on')
            p.dead = put(p.dead, len(p.dead) - 1, credit)

    # Operations.
    def do_op(self, p):
        if p.op == 'end':
            return
        kind = p.op[0]
        if kind == 'p':
            self.publish(p)
        elif kind == 'c':
            self.close(p)
        elif kind == 'n':
            self.attach(p)
        elif kind == 'g':
            p.pc = 'give-back'
            p.store(self.stamp + int(p.op[1]), 1)
            p.go('X1')
        else:
            self.do_take(p)

    def publish(self, p):
        if self.without == 'publish-first':
            p.set(SLEPT, p.see(WORD))
            p.pc = 'P2'
            p.go('do_publish_late')
        else:
            self.P1(p)

    def P1(self, p):
        p.pc = 'P1'
        p.store(self.stamp + int(p.op[1]), 1)
        p.go('P2')

    def do_publish_late(self, p):
        p.store(self.stamp + int(p.op[1]), 1)
        if p.regs[SLEPT]:
            p.set(SLEPT, 0)
            p.go('do_attend')
        else:
            p.next_op()

    def P2(self, p):
        """Load the attention word."""
        if self.sc.fenced:
            p.go('P3')
        elif p.see(WORD):
            p.go('do_attend')
        else:
            p.next_op()

    def P3(self, p):
        """Fence if asked to, and load again."""
        if self.without != 'fence':
            p.flush()
        p.go('P4')

    def P4(self, p):
        if p.see(WORD):
            p.go('do_attend')
        else:
            p.next_op()

    def do_attend(self, p):
        """ringq_attend() loads the word again."""
        if not self.armed(p.see(WORD)):
            p.next_op()
            return
        late = self.without == 'wide-late'
        p.set(N, ALL if late and p.see(WIDE) else 1)
        p.call(self.KICK, 'do_next' if late else 'P5')

    def P5(self, p):
        """Is there who has said that one kick may be lost on him?"""
        if p.see(WIDE):
            p.set(N, ALL)
            p.call(self.KICK, 'do_next')
        else:
            p.next_op()

    def do_next(self, p):
        p.next_op()

    # A consumer.
    def do_take(self, p):
        """Takes what it needs, or goes to sleep."""
        need = int(p.op[1])
        p.pc = 'take'
        if self.ready(p, need):
            slept = p.regs[SLEPT]
            p.locked(INDEX, lambda index: index + need)
            p.regs = CLEAR
            if slept and self.without != 'pass-on':
                p.go('X1')
            else:
                self.do_again(p)
        elif self.ended(p):
            p.next_op(len(self.scripts[p.k]) - p.ip)
        else:
            p.go('S0' if need > 1 and self.says_wide and not p.see(WIDE) else self.SLEEP)

    def S0(self, p):
        """A kick may be lost on this one: from now on all are kicked."""
        p.locked(WIDE, lambda wide: 1)
        p.go(self.SLEEP)

    # Passing on: who has slept and taken something, and leaves more behind.
    def X1(self, p):
        """Fence."""
        if self.without != 'own-fence':
            p.flush()
        p.set(BITS, p.see(WIDE) if self.without == 'wide-own' else 0)
        p.go('X2')

    def X2(self, p):
        """Does anybody of the own side sleep, and is there more?"""
        late, bits = self.without != 'wide-own', p.regs[BITS]
        p.set(BITS, 0)
        if self.armed(p.see(WORD)) and self.ready(p, 1):
            p.set(N, ALL if bits else 1)
            self.credit(p, 1)
            p.call(self.KICK_OWN, 'X3' if late else 'do_again')
        else:
            self.do_again(p)

    def X3(self, p):
        """As P5."""
        if p.see(WIDE):
            p.set(N, ALL)
            p.call(self.KICK_OWN, 'do_again')
        else:
            self.do_again(p)

    def do_again(self, p):
        p.next_op(p.op[0] != 'r')

    # All steps.
    def enabled(self, state, k):
        """Can the process take its next step?"""
        pc = state[2][k][0]
        return pc not in ('asleep', 'dead') and \
            not (pc == 'do_op' and state[2][k][1] == len(self.scripts[k]))

    def steps(self, state):
        mem, bufs, procs, dead, kernel = state
        out = []
        for k, buf in enumerate(bufs):
            if buf:
                m = put(mem, buf[0][0], buf[0][1])
                out.append(('drain.%d' % k, (m, put(bufs, k, buf[1:]), procs, dead, kernel)))
        for k, (pc, ip, regs, ret) in enumerate(procs):
            if dead[k] == LIVE and self.enabled(state, k):
                self.steps_of[pc](Process(self, state, k, out))
        self.more_steps(state, out)
        if dead[-2]:
            for k in self.sc.mortal:
                if dead[k] == LIVE and self.can_die(state, k):
                    self.die(state, k, out)
        return out

    def more_steps(self, state, out):
        pass

    def can_die(self, state, k):
        pc, ip, regs, ret = state[2][k]
        return not (pc == 'do_op' and ip == len(self.scripts[k]))

    def die(self, state, k, out):
        p = Process(self, state, k, out)
        p.pc = 'die'
        p.flush()
        p.regs, p.ret = CLEAR, ()
        p.dead = put(p.dead, k, DEAD)
        p.dead = put(p.dead, len(p.dead) - 2, p.dead[-2] - 1)
        self.died(p)
        p.go('dead')

    def died(self, p):
        pass

    def repair(self, p, k):
        """What a dead producer was to publish is published, as a tombstone."""
        for q, j in self.publisher.items():
            if j == k:
                p.mem = put(p.mem, self.stamp + q, 1)

    def done(self, state):
        """Nobody can go on but by dying."""
        if any(state[1]) or any(d == DEAD and self.is_found(state, k)
                                for k, d in enumerate(state[3][:-2])):
            return False
        out = []
        self.more_steps(state, out)
        return not out and not any(state[3][k] == LIVE and self.enabled(state, k)
                                   for k in range(len(state[2])))

    def is_found(self, state, k):
        """Will the death of the process be found?"""
        return True

    def check(self, state):
        for k in self.consumers:
            pc, ip, regs, ret = state[2][k]
            if state[3][k] != LIVE or not self.is_waiting(state, k):
                continue
            p = Process(self, state, k, [])
            if self.done_waiting(p):
                raise Broken('%d sleeps, and need not' % k)

    def is_waiting(self, state, k):
        return state[2][k][0] == 'asleep'

    def hopeless(self, state):
        return False


def compare_tags(root, model, sources):
    """What is wrong with the tags, or None. A comment at the line begins with them. P1 is another
    line in each discipline."""
    lines = {'P1'} & model.tags()
    for path, tag in sources:
        with open('%s/%s' % (root, path), encoding='utf-8') as f:
            tag = tag.replace('.', '[0-9]')
            for comment in re.findall(r'/\*\s((?:(?:%s)\b(?:, )?)+)' % tag, f.read()):
                lines.update(re.findall(tag, comment))
    steps = model.tags()
    if steps == lines:
        return None
    return 'no line for %s, no step for %s' % (sorted(steps - lines), sorted(lines - steps))


def main(model, scenarios, rules):
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
    states, bad, path = explore(model(scenarios[sys.argv[1]], rule))
    print('%s, %s: %d states, %s, %.1f s' %
          (sys.argv[1], 'without ' + rule if rule else 'all rules', states, bad or 'no violation',
           time.process_time() - begin))
    if path:
        print('    ' + ' '.join(path))
    return 1 if bad else 0
