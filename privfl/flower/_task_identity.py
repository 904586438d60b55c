"""The one private touch: newer versions of Flower ask who sends before a message can be made."""


def act_as_server() -> None:
    """Let this process make messages, where no Flower runtime said who it is."""
    try:
        from flwr.supercore.task_identity import TaskIdentity
    except ImportError:  # before 1.38 nobody asks
        return
    for name in ("run_id", "node_id", "task_id"):
        try:
            getattr(TaskIdentity, name)
        except RuntimeError:
            setattr(TaskIdentity, name, 0)
