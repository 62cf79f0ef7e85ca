"""Converts temperatures. It keeps nothing, so it needs no database."""

from fastapi import FastAPI
from gradual_contract import Gradual

app = FastAPI()
gradual = Gradual(app)


@app.get("/")
async def page() -> str:
    return "converter"


@app.get("/api/convert")
async def convert(celsius: float) -> dict[str, float]:
    return {"celsius": celsius, "fahrenheit": round(celsius * 9 / 5 + 32, 2)}
