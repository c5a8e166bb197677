"""Everything that can go wrong, as one tree.

    FactoryError
      RecipeError        the recipe is not valid: file, key, value, choices
      PluginError        no such plug-in, or options it does not take
      SourceError        a source that cannot be read at all (a bad row is a Reject, not an error)
      EngineError        an engine that cannot start or cannot go on
      ClusterError       the Ray that a run had started for itself is gone
      LedgerError        the run folder cannot be written, is locked, or belongs to another recipe
      CurateError        a problem whose rollouts cannot be made into rows
      SandboxError       a worker process or sandbox that cannot be started
      JudgingError       judging that fails by itself, not by what it is given
      PublishError       the Hub refused, or the dataset folder is not publishable

A bad rollout, a bad row and a bad verdict are data, not errors: they are recorded and counted.
A FactoryError is printed without a traceback and ends the command with a non-zero exit code.
"""


class FactoryError(Exception):
    """Base of all errors that a user can do something about."""


class RecipeError(FactoryError):
    """The recipe is not valid."""


class PluginError(FactoryError):
    """A plug-in does not exist, or was given options that it does not take."""


class SourceError(FactoryError):
    """A source cannot be read at all."""


class EngineError(FactoryError):
    """An engine cannot start, or cannot go on."""


class ClusterError(FactoryError):
    """The Ray that a run had started for itself is gone, and nothing brings it back."""


class LedgerError(FactoryError):
    """The run folder cannot be used."""


class CurateError(FactoryError):
    """A dataset cannot be made from what was sampled."""


class SandboxError(FactoryError):
    """A worker process cannot be started."""


class JudgingError(FactoryError):
    """A judge raised, or a verifier tells nothing any more."""


class PublishError(FactoryError):
    """A dataset cannot be published."""
