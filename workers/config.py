"""Celery's configuration; Celery imports it when a worker starts, never before."""

from pipeline.run.notifier import broker_settings as _broker_settings
from pipeline.settings import installation as _settings

globals().update(_broker_settings(_settings.load().store_url))

# The last resort against native code that hangs: steps bound themselves far below this.
task_time_limit = 3600
worker_proc_alive_timeout = 30
worker_enable_remote_control = False
worker_send_task_events = False
worker_cancel_long_running_tasks_on_connection_loss = False
