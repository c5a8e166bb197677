"""Word problems, weekdays and sorting."""

import random

from data.families.arithmetic import parts, walk
from data.families.core import Problem, write_workings

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = {
    "January": 31,
    "February": 28,
    "March": 31,
    "April": 30,
    "May": 31,
    "June": 30,
    "July": 31,
    "August": 31,
    "September": 30,
    "October": 31,
    "November": 30,
    "December": 31,
}
DAYS_RANGES = {1: (3, 50), 2: (51, 400)}
AFTER_PHRASES = (
    "Today is {day}. What day of the week is it in {n} days?",
    "What day of the week comes {n} days after {day}?",
    "It is {day}. Which weekday will it be {n} days from now?",
)
BEFORE_PHRASES = (
    "Today is {day}. What day of the week was it {n} days ago?",
    "What day of the week comes {n} days before {day}?",
    "It is {day}. Which weekday was it {n} days earlier?",
)
DATE_PHRASES = (
    "In a year of 365 days, {first} is a {day}. Which weekday is {second} of that year?",
    "{first} is a {day} in a year that is not a leap year. What day of the week is {second}?",
    "If {first} falls on a {day}, on which weekday does {second} fall? It is not a leap year.",
)

SORT_SHAPES = {1: (4, 1, 99), 2: (5, 1, 99), 3: (7, -50, 150)}
SORT_PHRASES = (
    "Sort {numbers} from smallest to largest. Answer as an ordered tuple (a, b, ...).",
    "Put {numbers} in increasing order and give an ordered tuple (a, b, ...).",
    "Write the numbers {numbers} in ascending order as an ordered tuple (a, b, ...).",
    "Arrange {numbers} from least to greatest. Give the result as an ordered tuple (a, b, ...).",
)

NAMES = (
    *("Anna", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Hugo", "Ines", "Jonas"),
    *("Kira", "Leo", "Maya", "Noah", "Olga", "Paul", "Rosa", "Sam", "Tara", "Victor"),
)
THINGS = (
    *("apples", "books", "cards", "coins", "cups", "eggs", "flowers", "keys", "lemons"),
    *("marbles", "nuts", "pencils", "plums", "shells", "stamps", "stickers", "stones", "toys"),
)
BOXES = ("bags", "boxes", "jars", "packs", "trays")


def weekday(rng: random.Random, level: int) -> Problem:
    """Some days away from a weekday, or from one date to another."""
    if level == 3:
        return weekday_of_date(rng)
    start, n, back = rng.randrange(7), rng.randint(*DAYS_RANGES[level]), rng.random() < 0.3
    rest = n % 7
    answer = WEEKDAYS[(start - rest if back else start + rest) % 7]
    path = weekday_path(start, rest, back)
    tens = n // 70 * 70
    careful = [f"{n}-{tens}={n - tens}"] if tens else []
    careful += [f"{n - tens}-{n - tens - rest}={rest}", path]
    phrases = BEFORE_PHRASES if back else AFTER_PHRASES
    return Problem(
        family="weekday",
        level=level,
        key=f"{WEEKDAYS[start]} {'-' if back else '+'} {n}",
        prompt=rng.choice(phrases).format(day=WEEKDAYS[start], n=n),
        answer=answer,
        workings=write_workings(rng, answer, [f"{n} mod 7 = {rest}"], careful),
    )


def weekday_path(start: int, days: int, back: bool = False) -> str:
    """The weekdays walked over, the first and the last included."""
    step = -1 if back else 1
    return ", ".join(WEEKDAYS[(start + step * i) % 7] for i in range(days + 1))


def weekday_of_date(rng: random.Random) -> Problem:
    """From a date to a later one in the same ordinary year, month by month modulo seven."""
    months = list(MONTHS)
    first, second = sorted(rng.sample(range(12), 2))
    day, later = (rng.randint(1, MONTHS[months[m]]) for m in (first, second))
    start = rng.randrange(7)
    gaps = [MONTHS[months[first]] - day]
    gaps += [MONTHS[months[m]] for m in range(first + 1, second)] + [later]
    total, rest = sum(gaps), sum(gaps) % 7
    careful, running = [], 0
    for month, gap in zip(months[first : second + 1], gaps, strict=True):
        careful.append(f"{month} {gap}, {running}+{gap % 7}={running + gap % 7}")
        running = (running + gap) % 7
    answer = WEEKDAYS[(start + rest) % 7]
    dates = {"first": f"{day} {months[first]}", "second": f"{later} {months[second]}"}
    return Problem(
        family="weekday",
        level=3,
        key=f"{WEEKDAYS[start]} {dates['first']} to {dates['second']}",
        prompt=rng.choice(DATE_PHRASES).format(day=WEEKDAYS[start], **dates),
        answer=answer,
        workings=write_workings(
            rng,
            answer,
            steps=["+".join(map(str, gaps)) + f"={total}", f"{total} mod 7 = {rest}"],
            careful=[*careful, f"{rest} days", weekday_path(start, rest)],
        ),
    )


def sorting(rng: random.Random, level: int) -> Problem:
    """Four, five or seven different numbers; the third level has negative ones."""
    count, low, high = SORT_SHAPES[level]
    numbers = rng.sample(range(low, high + 1), count)
    ordered, text = sorted(numbers), ", ".join(map(str, numbers))
    answer = f"({', '.join(map(str, ordered))})"
    left, careful = list(numbers), []
    for smallest in ordered[:-1]:
        left.remove(smallest)
        careful.append(f"{smallest}, left {' '.join(map(str, left))}")
    half = count // 2
    steps = [
        "low half " + " ".join(map(str, ordered[:half])),
        "high half " + " ".join(map(str, ordered[half:])),
    ]
    return Problem(
        family="sorting",
        level=level,
        key=text,
        prompt=rng.choice(SORT_PHRASES).format(numbers=text),
        answer=answer,
        workings=write_workings(rng, answer, steps, careful),
    )


def story(rng: random.Random, level: int) -> Problem:
    """A word problem with one operation, two, or three."""
    name, friend = rng.sample(NAMES, 2)
    words = {"name": name, "friend": friend, "things": rng.choice(THINGS)}
    words["boxes"] = rng.choice(BOXES)
    tell = rng.choice(STORIES[level])
    kind = tell.__name__
    numbers, text, steps, careful, value = tell(rng)
    return Problem(
        family="story",
        level=level,
        key=f"{kind} {','.join(map(str, numbers))}",
        prompt=text.format(**words),
        answer=str(value),
        workings=write_workings(rng, str(value), steps, careful),
    )


Story = tuple[list[int], str, list[str], list[str], int]


def product_steps(count: int, each: int) -> list[str]:
    """count * each by the places of `each`, and their sum."""
    pieces = [count * part for part in parts(each)]
    lines = [f"{count}*{part}={count * part}" for part in parts(each)]
    return lines + walk(pieces[0], "+", pieces[1:])


def gain(rng: random.Random) -> Story:
    """a + b."""
    a, b = rng.randint(5, 99), rng.randint(5, 99)
    text = rng.choice(
        (
            f"{{name}} has {a} {{things}} and buys {b} more. "
            "How many {things} does {name} have now?",
            f"{{name}} finds {a} {{things}} and {{friend}} finds {b}. "
            "How many {things} do they have together?",
            f"There are {a} {{things}} on the table. {{name}} puts {b} more there. "
            "How many {things} are on the table?",
        )
    )
    return [a, b], text, [f"{a}+{b}={a + b}"], walk(a, "+", parts(b)), a + b


def loss(rng: random.Random) -> Story:
    """a - b."""
    b, rest = rng.randint(5, 60), rng.randint(3, 60)
    a = b + rest
    text = rng.choice(
        (
            f"{{name}} has {a} {{things}} and gives {b} to {{friend}}. "
            "How many {things} does {name} keep?",
            f"{{name}} had {a} {{things}} and lost {b}. How many {{things}} are left?",
            f"Out of {a} {{things}}, {{name}} sells {b} to {{friend}}. "
            "How many {things} are not sold?",
        )
    )
    return [a, b], text, [f"{a}-{b}={rest}"], walk(a, "-", parts(b)), rest


def packs_and_more(rng: random.Random) -> Story:
    """count * each + extra."""
    count, each, extra = rng.randint(2, 9), rng.randint(3, 30), rng.randint(5, 60)
    text = rng.choice(
        (
            f"{{name}} buys {count} {{boxes}} of {each} {{things}} and already has {extra}. "
            "How many {things} does {name} have now?",
            f"There are {each} {{things}} in each of {count} {{boxes}}. {{friend}} brings {extra} "
            "more {things}. How many {things} are there in total?",
        )
    )
    total = count * each
    steps = [f"{count}*{each}={total}", f"{total}+{extra}={total + extra}"]
    careful = product_steps(count, each) + walk(total, "+", parts(extra))
    return [count, each, extra], text, steps, careful, total + extra


def packs_and_less(rng: random.Random) -> Story:
    """count * each - given."""
    count, each = rng.randint(2, 9), rng.randint(5, 30)
    total = count * each
    given = rng.randint(3, total - 2)
    text = rng.choice(
        (
            f"{{name}} fills {count} {{boxes}} with {each} {{things}} each and gives {given} "
            "{things} to {friend}. How many {things} are left?",
            f"{{name}} has {count} {{boxes}} with {each} {{things}} in each. {{friend}} takes "
            f"{given} of the {{things}}. How many remain?",
        )
    )
    steps = [f"{count}*{each}={total}", f"{total}-{given}={total - given}"]
    careful = product_steps(count, each) + walk(total, "-", parts(given))
    return [count, each, given], text, steps, careful, total - given


def change(rng: random.Random) -> Story:
    """paid - (a * b + c * d)."""
    a, b, c, d = rng.randint(2, 6), rng.randint(3, 20), rng.randint(2, 6), rng.randint(3, 20)
    cost = a * b + c * d
    paid = cost + rng.randint(1, 99)
    text = (
        f"{{name}} buys {a} {{boxes}} of {{things}} at {b} dollars each and {c} lamps at {d} "
        f"dollars each. {{name}} pays with {paid} dollars. How many dollars are given back?"
    )
    steps = [f"{a}*{b}={a * b}", f"{c}*{d}={c * d}", f"{a * b}+{c * d}={cost}"]
    steps.append(f"{paid}-{cost}={paid - cost}")
    careful = product_steps(a, b) + product_steps(c, d)
    careful += walk(a * b, "+", parts(c * d)) + walk(paid, "-", parts(cost))
    return [a, b, c, d, paid], text, steps, careful, paid - cost


def share(rng: random.Random) -> Story:
    """(count * each + extra) / people, drawn so that it comes out even."""
    while True:
        count, each, people = rng.randint(2, 6), rng.randint(5, 30), rng.randint(3, 6)
        extra = rng.randint(2, 40)
        total = count * each
        if (total + extra) % people == 0:
            break
    value = (total + extra) // people
    text = (
        f"{{name}} has {count} {{boxes}} of {each} {{things}} and {{friend}} has {extra} "
        f"{{things}}. They share all of them equally among {people} children. "
        "How many {things} does each child get?"
    )
    steps = [f"{count}*{each}={total}", f"{total}+{extra}={total + extra}"]
    steps.append(f"{total + extra}/{people}={value}")
    careful = product_steps(count, each) + walk(total, "+", parts(extra))
    pieces = [people * part for part in parts(value)]
    careful += [f"{people}*{part}={people * part}" for part in parts(value)]
    careful += walk(total + extra, "-", pieces)
    return [count, each, extra, people], text, steps, [*careful, f"each {value}"], value


STORIES = {1: (gain, loss), 2: (packs_and_more, packs_and_less), 3: (change, share)}
