"""The apps: the ops API, the pages, the health of the service and its metrics on one port; or metrics on their own."""

import asyncio
from dataclasses import replace

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.middleware.body_limit import RequestBodyLimitMiddleware

from foundry_rollouts.errors import NotFoundError
from foundry_rollouts.web import (
    api,
    approval_page,
    audit_page,
    audits,
    brakes,
    brakes_page,
    commands,
    history_page,
    notifications,
    outcomes,
    pages,
    policy_page,
    problem_pages,
    rollout_page,
    sign_in,
    tokens,
    watching,
)
from foundry_rollouts.web.access import admit_scraper, may_view
from foundry_rollouts.web.auditing import Auditor
from foundry_rollouts.web.conditional import Conditional
from foundry_rollouts.web.endings import StreamsEnd
from foundry_rollouts.web.examples import DescribedApp
from foundry_rollouts.web.forwarded import Forwarded
from foundry_rollouts.web.guard import BODY_BYTES, Guard
from foundry_rollouts.web.problems import answer_problems
from foundry_rollouts.web.render import serve_static
from foundry_rollouts.web.schemas import Alive, Readiness
from foundry_rollouts.web.services import Ours, Services

router = APIRouter()
numbers = APIRouter()

#: Whose routes the app serves; where two fit a path, the first does.
ROUTERS = (
    router,
    numbers,
    api.router,
    commands.router,
    watching.router,
    audits.router,
    outcomes.router,
    notifications.router,
    brakes.router,
    tokens.router,
    problem_pages.router,
    pages.router,
    history_page.router,
    audit_page.router,
    brakes_page.router,
    policy_page.router,
    rollout_page.router,
    approval_page.router,
    sign_in.public,
    sign_in.router,
)


def create_app(services: Services) -> FastAPI:
    """Build the app over ``services``."""
    app = DescribedApp(
        title="foundry-rollouts",
        description="Progressive rollouts of agents: what is running, why, and the commands that people give.",
        version="1",
        openapi_url="/api/openapi.json",
        docs_url=None,  # the ready-made pages load their scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    for each in ROUTERS:
        app.include_router(each)
    serve_static(app)
    answer_problems(app)
    # The guard comes last, which is outermost: what the limit refuses carries the safe headers too.
    app.add_middleware(Conditional)
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=BODY_BYTES)
    app.add_middleware(StreamsEnd)
    app.add_middleware(Guard, routes=app.routes, hosts=services.hosts)
    app.add_middleware(Auditor, routes=app.routes)
    app.add_middleware(Forwarded, proxies=services.proxies, base_path=services.base_path)
    return app


def create_metrics_app(services: Services) -> FastAPI:
    """Build the app that serves the metrics over ``services`` and nothing else."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.services = replace(services, has_metrics=True)
    app.include_router(numbers)
    answer_problems(app)
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=BODY_BYTES)
    app.add_middleware(Guard, routes=app.routes, hosts=services.hosts)
    app.add_middleware(Forwarded, proxies=services.proxies)
    return app


@router.get("/healthz")
async def healthz() -> Alive:
    """Report that the process is alive."""
    return Alive()


@router.get("/readyz", response_model=Readiness, responses={503: {"model": Readiness}})
async def readyz(request: Request, ours: Ours) -> JSONResponse:
    """Report whether the database, its schema, the sweep and discovery work; the reasons are for viewers."""
    conditions = list(await ours.health.conditions(ours.now()))
    is_ready = all(each.is_well or not each.is_essential for each in conditions)
    if not await may_view(request):
        conditions = [replace(each, because="a viewer sees why") for each in conditions]
    readiness = Readiness(is_ready=is_ready, conditions=conditions)
    return JSONResponse(readiness.model_dump(mode="json"), 200 if readiness.is_ready else 503)


@numbers.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request, ours: Ours) -> Response:
    """Return all Prometheus metrics, in the format that the scraper accepts."""
    if not ours.has_metrics:
        raise NotFoundError("metrics are served at an address of their own: FOUNDRY_ROLLOUTS_METRICS_LISTEN")
    if not ours.are_metrics_open:
        await admit_scraper(request)
    # In a thread, beside the loop: thousands of series take a while, and ticks do not wait for them.
    text, content_type = await asyncio.to_thread(ours.metrics.render, request.headers.get("accept", ""))
    return Response(text, headers={"Content-Type": content_type})
