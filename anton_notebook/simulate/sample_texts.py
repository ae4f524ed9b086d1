"""What the simulated agents say and see: a task in a bookshop's service, its modules, their code and their tests."""

from __future__ import annotations

from typing import NamedTuple

TASK = "Add rate limiting to the public API: 60 requests a minute for each key, with clear errors and a usage page"

ORCHESTRATOR = """You are the orchestrator agent for a Python codebase.

## Your responsibilities
1. Understand the task and find the modules it touches.
2. Split it into subtasks, each of exactly one module, and respect the dependencies between modules.
3. Delegate the subtasks to the module agents, in parallel where that is possible.
4. Collect their results, check that they fit together, and report.

Answer with JSON when you are asked for a plan, and with plain text otherwise."""

SPECIALIST = """You are a specialist agent for the "{module}" module.

## Your responsibilities
1. Read the code before you change it; change no other module.
2. Keep public functions stable unless the task says otherwise, and say so when you cannot.
3. Cover what you change with tests, and run them.

Files of the module: {files}
Use one tool at a time. When you are done, answer with a summary of what was changed and why."""


class Module(NamedTuple):
    """One module of the codebase and what its agent is to do there."""

    name: str
    task: str
    files: tuple[str, ...]
    code: str
    search: str
    found: str
    change: str
    finding: str
    summary: str


MODULES = (
    Module(
        "api",
        "Check the limit in the request pipeline and answer 429 with a Retry-After header",
        ("src/api/app.py", "src/api/middleware.py", "src/api/errors.py"),
        '''class Pipeline:
    """Runs a request through the middleware, outermost first."""

    def __init__(self, *layers: Layer) -> None:
        self.layers = layers

    async def __call__(self, request: Request) -> Response:
        handler = self.route(request)
        for layer in reversed(self.layers):
            handler = partial(layer, handler)
        try:
            return await handler(request)
        except ApiError as error:
            return error.response()
''',
        "class .*Layer",
        "src/api/middleware.py:14:class LoggingLayer(Layer):\nsrc/api/middleware.py:41:class AuthLayer(Layer):\n"
        "src/api/middleware.py:77:class CorsLayer(Layer):",
        """class RateLimitLayer(Layer):
    def __init__(self, limiter: Limiter) -> None:
        self.limiter = limiter

    async def __call__(self, handler: Handler, request: Request) -> Response:
        verdict = await self.limiter.take(request.key.id)
        if not verdict.allowed:
            raise TooManyRequests(retry_after=verdict.retry_after)
        response = await handler(request)
        response.headers["X-RateLimit-Remaining"] = str(verdict.remaining)
        return response
""",
        "The layer has to stand inside AuthLayer, or there is no key to count by; requests without a key fail earlier.",
        "Added RateLimitLayer between authentication and routing. It answers 429 with Retry-After and sends "
        "X-RateLimit-Remaining with every answer. Seven tests cover the limit, its window and the headers.",
    ),
    Module(
        "storage",
        "Keep a sliding window of request counts for each key, safe with several workers",
        ("src/storage/redis.py", "src/storage/windows.py"),
        '''class Counter:
    """Counts events of a key in fixed buckets of ten seconds."""

    def __init__(self, redis: Redis, ttl: int = 120) -> None:
        self.redis = redis
        self.ttl = ttl

    async def add(self, key: str, at: float) -> int:
        bucket = f"count:{key}:{int(at) // 10}"
        async with self.redis.pipeline() as pipe:
            pipe.incr(bucket)
            pipe.expire(bucket, self.ttl)
            count, _ = await pipe.execute()
        return int(count)
''',
        "Counter\\(",
        "src/storage/redis.py:9:class Counter:\nsrc/billing/meter.py:22:        self.counter = Counter(redis)",
        """class SlidingWindow:
    SCRIPT = load("windows/take.lua")

    async def take(self, key: str, limit: int, seconds: int) -> Verdict:
        used, oldest = await self.redis.eval(self.SCRIPT, [f"window:{key}"], [limit, seconds, time.time()])
        if used > limit:
            return Verdict(False, 0, math.ceil(oldest + seconds - time.time()))
        return Verdict(True, limit - used, 0)
""",
        "Two workers can both read 59 and both write 60. Reading and adding have to be one step: a script on the server.",
        "Added SlidingWindow.take, one atomic script for reading and adding, so that several workers agree on the count. "
        "The old Counter stays, since billing uses it.",
    ),
    Module(
        "billing",
        "Read each customer's limit from their plan, with 60 requests a minute as the default",
        ("src/billing/plans.py", "src/billing/meter.py"),
        '''PLANS = {
    "free": Plan(price=0, seats=1),
    "team": Plan(price=49, seats=10),
    "press": Plan(price=390, seats=200),
}


def plan_of(customer: Customer) -> Plan:
    """The plan a customer pays for; the free one where a payment is overdue."""
    if customer.overdue:
        return PLANS["free"]
    return PLANS.get(customer.plan, PLANS["free"])
''',
        "plan_of",
        "src/billing/plans.py:31:def plan_of(customer: Customer) -> Plan:\nsrc/web/account.py:58:    plan = plan_of(customer)",
        """@dataclass(frozen=True)
class Plan:
    price: int
    seats: int
    requests_per_minute: int = 60


PLANS["press"] = replace(PLANS["press"], requests_per_minute=600)
""",
        "An overdue customer falls back to the free plan, so their limit falls with it. That is wanted; I say it in the docs.",
        "Plan has requests_per_minute (60; 600 for press). plan_of is unchanged, and overdue customers get the free limit.",
    ),
    Module(
        "web",
        "Show the customer's usage of the last hour and their limit on the account page",
        ("src/web/account.py", "src/web/templates/account.html"),
        """@page("/account")
async def account(request: Request) -> Page:
    customer = await request.customer()
    plan = plan_of(customer)
    invoices = await invoices_of(customer, limit=12)
    return Page("account.html", customer=customer, plan=plan, invoices=invoices)
""",
        'Page\\("account',
        'src/web/account.py:61:    return Page("account.html", customer=customer, plan=plan, invoices=invoices)',
        '''async def usage_of(customer: Customer) -> list[Minute]:
    """Requests of the last sixty minutes, oldest first, zeros included."""
    counts = await windows.history(customer.key.id, minutes=60)
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    return [Minute(now - timedelta(minutes=m), counts.get(m, 0)) for m in reversed(range(60))]
''',
        "The history has gaps where nobody called; a chart that joins the points would lie there. I fill in zeros.",
        "The account page shows sixty bars, one a minute, and the limit as a line. Gaps are drawn as zero.",
    ),
    Module(
        "docs",
        "Describe the limits, the headers and the error, with an example that waits and tries again",
        ("docs/limits.md", "docs/errors.md"),
        "# Errors\n\nEvery error is JSON with `code`, `message` and `request_id`.\n\n| status | code |\n| --- | --- |\n"
        "| 400 | invalid_request |\n| 401 | unknown_key |\n| 404 | not_found |\n",
        "Retry-After",
        "no matches",
        "# Limits\n\nEach key may send 60 requests a minute. `X-RateLimit-Remaining` says how many are left. After that the\n"
        "answer is 429 `too_many_requests`, and `Retry-After` says in how many seconds to come back.\n",
        "The table of errors has no 429 yet, and no page says that limits exist.",
        "New page on limits, with the headers and an example that waits; 429 added to the table of errors.",
    ),
    Module(
        "client",
        "Let the Python client wait and try again by itself when it is limited",
        ("client/http.py", "client/retry.py"),
        """def send(self, request: httpx.Request) -> httpx.Response:
    for attempt in range(self.attempts):
        response = self.transport.handle(request)
        if response.status_code < 500:
            return response
        time.sleep(2**attempt)
    return response
""",
        "time.sleep",
        "client/http.py:48:        time.sleep(2**attempt)",
        """def pause(response: httpx.Response, attempt: int) -> float:
    told = response.headers.get("Retry-After", "")
    return float(told) if told.isdigit() else min(2**attempt, 30)
""",
        "The client gives up on every 4xx at once. A 429 is worth waiting for, the others are not.",
        "The client waits as long as Retry-After says, at most three times, and then raises RateLimited.",
    ),
)

FAILED_TESTS = """{n} items collected
tests/{module}/test_limits.py ....F...
E       AssertionError: assert 61 == 60
E        +  where 61 = len(allowed)
1 failed, {passed} passed in 2.14s"""

PASSED_TESTS = """{n} items collected
tests/{module}/test_limits.py ........
{n} passed in 2.02s"""

OVERLOADED = "529 overloaded_error: the model is overloaded, try again later"
