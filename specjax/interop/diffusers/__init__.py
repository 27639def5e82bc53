"""diffusers: plans as schedulers, and pipelines to learn them through.

    plan = learn(pipe, steps=6, prompts=["a red fox", "a harbour at night"], guidance_scale=5.0)
    pipe.scheduler = PlanScheduler.from_plan(plan, pipe.scheduler.config)

It takes ``pip install -e '.[interop]'``. diffusers imports no module because a saved pipeline
names it: import this one before ``DiffusionPipeline.from_pretrained`` of a pipeline that was saved
with a plan.
"""

from diffusers.pipelines.pipeline_loading_utils import LOADABLE_CLASSES
from diffusers.schedulers.scheduling_utils import SchedulerMixin  # noqa: F401

from specjax.interop.diffusers.guidance import guidance_callback
from specjax.interop.diffusers.pipelines import PipelineDenoiser, learn
from specjax.interop.diffusers.scheduler import PlanScheduler

__all__ = ["PipelineDenoiser", "PlanScheduler", "guidance_callback", "learn"]

# What a saved pipeline names as the scheduler's module, which must have the base class, too.
PlanScheduler.__module__ = __name__
LOADABLE_CLASSES.setdefault(__name__, LOADABLE_CLASSES["diffusers"])
