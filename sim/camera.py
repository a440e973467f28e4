"""A camera of the simulated robot that draws on a thread of its own.

Drawing a picture without a GPU takes several simulation steps. On the simulation's thread it would stop the clock.
"""

import threading

from aloha_environment import load_physics


class Camera:
    """Draws one camera of a task's scene in a thread, the newest requested state first.

    on_frame(frame, stamp) is called on that thread with pixels of shape (height, width, 3), uint8 RGB. After a
    failure, request raises the exception that ended the thread.
    """

    def __init__(self, task_name, camera_name, width, height, on_frame):
        self._task_name = task_name
        self._camera_name = camera_name
        self._width = width
        self._height = height
        self._on_frame = on_frame
        self._changed = threading.Condition()
        self._requested = None
        self._closing = False
        self._failure = None
        self._thread = threading.Thread(target=self._run, name=f"camera {camera_name}", daemon=True)
        self._thread.start()

    def request(self, physics_state, stamp):
        """Asks for a frame of a state (physics.get_state()). A request that is still waiting is replaced."""
        with self._changed:
            if self._failure is not None:
                raise self._failure
            self._requested = (physics_state, stamp)
            self._changed.notify()

    def close(self):
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self):
        try:
            self._draw_until_closed()
        except Exception as failure:
            with self._changed:
                self._failure = failure

    def _draw_until_closed(self):
        # OpenGL contexts belong to a thread: everything that draws is made, used and freed on this one.
        physics = load_physics(self._task_name)
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._closing or self._requested is not None)
                    if self._closing:
                        return
                    (state, stamp), self._requested = self._requested, None
                with physics.reset_context():
                    physics.set_state(state)
                frame = physics.render(height=self._height, width=self._width, camera_id=self._camera_name)
                self._on_frame(frame, stamp)
        finally:
            physics.free()
