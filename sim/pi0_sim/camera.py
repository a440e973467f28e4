"""A camera of the simulated robot that draws on a thread of its own.

Drawing a picture without a GPU takes several simulation steps. On the simulation's thread it would stop the clock.
"""

import threading

from pi0_sim.aloha_environment import load_physics

# The shape of the camera, 4:3.
DEFAULT_WIDTH, DEFAULT_HEIGHT = 320, 240


class Camera:
    """Draws one camera of a task's scene in a thread; a state that waits gives way to a newer one.

    on_frame(frame, stamp) is called on that thread with pixels of shape (height, width, 3), uint8 RGB. The constructor
    returns when the camera has drawn its first picture. It raises what kept the camera from drawing, and so does
    request.
    """

    def __init__(self, task_name, camera_name, width, height, on_frame):
        self._task_name = task_name
        self._camera_name = camera_name
        self._width = width
        self._height = height
        self._on_frame = on_frame
        self._changed = threading.Condition()
        self._requested = None
        self._ready = False
        self._closing = False
        self._failure = None
        self._thread = threading.Thread(target=self._run, name=f"camera {camera_name}", daemon=True)
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._failure is not None)
            if self._failure is not None:
                raise self._failure

    def request(self, physics_state, stamp):
        """Asks for a frame of a state (physics.get_state()). A request that is still waiting is replaced."""
        with self._changed:
            if self._failure is not None:
                raise self._failure
            self._requested = (physics_state, stamp)
            self._changed.notify_all()

    def close(self):
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self):
        try:
            self._draw_until_closed()
        except Exception as failure:
            with self._changed:
                self._failure = failure
                self._changed.notify_all()

    def _draw_until_closed(self):
        # OpenGL contexts belong to a thread: everything that draws is made, used and freed on this one.
        physics = load_physics(self._task_name)
        try:
            # The first picture takes longer than the others.
            self._draw(physics, physics.get_state())
            with self._changed:
                self._ready = True
                self._changed.notify_all()
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._closing or self._requested is not None)
                    if self._closing:
                        return
                    (state, stamp), self._requested = self._requested, None
                self._on_frame(self._draw(physics, state), stamp)
        finally:
            physics.free()

    def _draw(self, physics, state):
        return draw_state(physics, state, self._camera_name, self._width, self._height)


def draw_state(physics, physics_state, camera_name, width, height):
    """What a camera sees in a state (physics.get_state()): shape (height, width, 3), uint8 RGB."""
    with physics.reset_context():
        physics.set_state(physics_state)
    return physics.render(height=height, width=width, camera_id=camera_name)
