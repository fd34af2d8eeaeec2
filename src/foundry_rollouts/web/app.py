"""The app: one port for the ops API, the pages, the health of the service and its metrics."""

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.middleware.body_limit import RequestBodyLimitMiddleware

from foundry_rollouts.web import api, outcomes, pages, rollout_page, tokens, watching
from foundry_rollouts.web.guard import BODY_BYTES, Guard
from foundry_rollouts.web.problems import answer_problems
from foundry_rollouts.web.render import serve_static
from foundry_rollouts.web.schemas import Alive, Readiness
from foundry_rollouts.web.services import Ours, Services

router = APIRouter()


def create_app(services: Services) -> FastAPI:
    """Build the app over ``services``."""
    app = FastAPI(
        title="foundry-rollouts",
        description="Progressive rollouts of agents: what is running, why, and the commands that people give.",
        version="1",
        openapi_url="/api/openapi.json",
        docs_url=None,  # the ready-made pages load their scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    app.include_router(router)
    app.include_router(api.router)
    app.include_router(watching.router)
    app.include_router(outcomes.router)
    app.include_router(tokens.router)
    app.include_router(pages.router)
    app.include_router(rollout_page.router)
    serve_static(app)
    answer_problems(app)
    # The guard comes last, which is outermost: what the limit refuses carries the safe headers too.
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=BODY_BYTES)
    app.add_middleware(Guard, hosts=services.hosts)
    return app


@router.get("/healthz")
async def healthz() -> Alive:
    """Report that the process is alive."""
    return Alive()


@router.get("/readyz", response_model=Readiness, responses={503: {"model": Readiness}})
async def readyz(ours: Ours) -> JSONResponse:
    """Report whether the database, its schema, the sweep and discovery work."""
    conditions = list(await ours.health.conditions(ours.now()))
    readiness = Readiness(
        is_ready=all(each.is_well or not each.is_essential for each in conditions), conditions=conditions
    )
    return JSONResponse(readiness.model_dump(mode="json"), 200 if readiness.is_ready else 503)


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request, ours: Ours) -> Response:
    """Return all Prometheus metrics, in the format that the scraper accepts."""
    text, content_type = ours.metrics.render(request.headers.get("accept", ""))
    return Response(text, headers={"Content-Type": content_type})
