"""`make chaos`: a closed load of sagas while processes and services are killed, and the proof that nothing
was lost, done twice or left behind."""
